/** cyborg-agent: `run` (the default), `discover`, `look`, `prepare-held`. */
import process from 'node:process';

const commands: Readonly<Record<string, (argv: readonly string[]) => Promise<number>>> = {
  run: async (argv) => (await import('./run.ts')).runCommand(argv),
  look: async (argv) => (await import('./inspect/look.ts')).runLook(argv),
  'prepare-held': async (argv) => (await import('./prepare-held/command.ts')).runPrepareHeld(argv),
  discover: async (argv) => (await import('./discover/command.ts')).runDiscover([...argv]),
};

const [first, ...rest] = process.argv.slice(2);
const isCommand = first !== undefined && !first.startsWith('-');
const name = isCommand ? first : 'run';
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
if (command === undefined) {
  const known = Object.keys(commands).join(', ');
  process.stderr.write(
    `cyborg-agent: there is no command ${JSON.stringify(name)}; the commands are ${known}\n`,
  );
  process.exitCode = 2;
} else {
  process.exitCode = await command(isCommand ? rest : process.argv.slice(2));
}
