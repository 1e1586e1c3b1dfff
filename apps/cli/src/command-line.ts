/** Finds the command among what was typed; options may stand before it. */

/** Options of every command that take a value: the word after them is no command. */
const valueOptions = new Set([
  '-f',
  '--format',
  '-c',
  '--column',
  '--url',
  '--user',
  '--password',
  '--os-cloud',
]);

export type Request =
  | { readonly kind: 'overview' }
  | { readonly kind: 'version' }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'command'; readonly name: string; readonly argv: readonly string[] };

export function readCommandLine(argv: readonly string[]): Request {
  const at = commandIndex(argv);
  const name = argv[at];
  if (name === 'help') {
    const topic = argv[at + 1];
    if (topic === undefined) return { kind: 'overview' };
    return { kind: 'command', name: topic, argv: ['--help'] };
  }
  if (name !== undefined) {
    return { kind: 'command', name, argv: [...argv.slice(0, at), ...argv.slice(at + 1)] };
  }
  if (argv.includes('--version') || argv.includes('-V')) return { kind: 'version' };
  return argv.includes('--help') || argv.includes('-h')
    ? { kind: 'overview' }
    : { kind: 'nothing' };
}

function commandIndex(argv: readonly string[]): number {
  let at = 0;
  for (;;) {
    const word = argv[at];
    if (word === undefined || !word.startsWith('-')) return at;
    at += valueOptions.has(word) ? 2 : 1;
  }
}
