/** cyborg-server: `run` (the default), `user-set`, `new-incarnation`. */
import { OptionError } from '@cyborg/service/option-error';

import { describeFailure, exitCodeOf } from './failure.ts';

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

try {
  const status = await main(process.argv.slice(2));
  if (status !== undefined) process.exit(status);
} catch (error) {
  console.error(`cyborg-server: ${describeFailure(error)}`);
  process.exit(exitCodeOf(error));
}
