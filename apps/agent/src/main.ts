import process from 'node:process';

const [command, ...rest] = process.argv.slice(2);
if (command === 'discover') {
  const { runDiscover } = await import('./discover/command.ts');
  process.exitCode = await runDiscover(rest);
} else {
  process.stderr.write('cyborg-agent: the commands are: discover\n');
  process.exitCode = 2;
}
