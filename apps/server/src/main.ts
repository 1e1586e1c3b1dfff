/** cyborg-server: `run` (the default), `user-set`, `new-incarnation`. */
import { OptionError } from '@cyborg/service/option-error';
import { EmbeddedPostgresError } from '@cyborg/store/embedded/failure';
import { DowngradeRefused } from '@cyborg/store/migrate';

const commands = {
  run: async () => (await import('./commands/run.ts')).run,
  'user-set': async () => (await import('./commands/user-set.ts')).userSet,
  'new-incarnation': async () => (await import('./commands/new-incarnation.ts')).newIncarnation,
} as const;

/** What a command is given; it answers the exit status, or undefined when it goes on running. */
export type Command = (argv: readonly string[]) => Promise<number | undefined>;

function isCommand(word: string): word is keyof typeof commands {
  return Object.hasOwn(commands, word);
}

async function main(argv: readonly string[]): Promise<number | undefined> {
  const [word] = argv;
  if (word === undefined || word.startsWith('-')) return (await commands.run())(argv);
  if (!isCommand(word)) {
    const known = Object.keys(commands).join(', ');
    throw new OptionError(`There is no command ${JSON.stringify(word)}; there are ${known}.`);
  }
  const command: Command = await commands[word]();
  return command(argv.slice(1));
}

/** What an operator can act on is one sentence; anything else is a fault, with its stack. */
function describe(error: unknown): string {
  const isExpected =
    error instanceof OptionError ||
    error instanceof EmbeddedPostgresError ||
    error instanceof DowngradeRefused ||
    (error instanceof Error && 'cause' in error && error.message.startsWith('Cannot '));
  if (isExpected) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

try {
  const status = await main(process.argv.slice(2));
  if (status !== undefined) process.exit(status);
} catch (error) {
  console.error(`cyborg-server: ${describe(error)}`);
  process.exit(error instanceof OptionError ? error.exitCode : 1);
}
