/** `cyborg-agent discover`: what the generic driver finds in a tree, with no server and no state. */
import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Roots } from '@cyborg/driver-sdk/protocol';
import { escaped } from '@cyborg/model/plain-text';
import { DiscoverError } from './discover-error.ts';
import { discoverOnce } from './driver-run.ts';
import { renderTable } from './print.ts';

const usage = `Usage: cyborg-agent discover [--sysfs-root DIR] [--kind KIND] [--config KEY=VALUE]... [-f json|table]

Runs the generic driver once, as you, and prints what it finds. Nothing is changed and nothing is kept.

  --sysfs-root DIR    the kernel's tree or a copy of one (default /sys). /proc and /dev are looked for beside it:
                      without them, what only they can show (mounts, open files) counts as used by the host
  --kind KIND         kind of backend: pci, virtual, static (default pci)
  --config KEY=VALUE  its configuration; lists as a,b or JSON
  -f, --format        json or table (default table)
`;

/** @returns the exit code: 0 also when nothing is there, 1 failed, 2 bad usage. */
export async function runDiscover(argv: readonly string[]): Promise<number> {
  try {
    const options = readOptions(argv);
    endQuietlyWithReader();
    if (options.help === true) {
      process.stdout.write(usage);
      return 0;
    }
    const sysfs = resolve(options['sysfs-root'] ?? '/sys');
    const kind = options.kind ?? 'pci';
    checkReadable(sysfs);
    if (kind === 'pci') checkBus(sysfs);
    const inventory = await discoverOnce({
      roots: rootsBeside(sysfs),
      hostName: hostname(),
      kind,
      settings: options.config ?? [],
    });
    const isJson = options.format === 'json';
    const text = isJson ? JSON.stringify(inventory, null, 2) : renderTable(inventory);
    process.stdout.write(`${text}\n`);
    return 0;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`cyborg-agent discover: ${escaped(message.replaceAll('\n', ' '))}\n`);
    return error instanceof DiscoverError && error.kind === 'usage' ? 2 : 1;
  }
}

/** `discover | head`: a reader that has seen enough is no failure. */
function endQuietlyWithReader(): void {
  process.stdout.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.stderr.write(`cyborg-agent discover: ${error.message}\n`);
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
}

interface Options {
  readonly help?: boolean | undefined;
  readonly 'sysfs-root'?: string | undefined;
  readonly kind?: string | undefined;
  readonly config?: string[] | undefined;
  readonly format?: string | undefined;
}

function readOptions(argv: readonly string[]): Options {
  const values = parse(argv);
  const { format } = values;
  if (values['sysfs-root'] === '') {
    throw new DiscoverError('usage', '--sysfs-root is empty; give the root of a sysfs tree');
  }
  if (format !== undefined && format !== 'json' && format !== 'table') {
    throw new DiscoverError('usage', `--format is ${format}; it must be json or table`);
  }
  return values;
}

function parse(argv: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        help: { type: 'boolean', short: 'h' },
        'sysfs-root': { type: 'string' },
        kind: { type: 'string' },
        config: { type: 'string', multiple: true },
        format: { type: 'string', short: 'f' },
      },
    });
    return values;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new DiscoverError('usage', `${message} (see cyborg-agent discover --help)`);
  }
}

function checkReadable(sysfs: string): void {
  try {
    readdirSync(sysfs);
  } catch (error) {
    const message = `cannot read ${sysfs} (${codeOf(error)}); give the root of a sysfs tree with --sysfs-root`;
    throw new DiscoverError('failed', message, { cause: error });
  }
}

/** A machine may have no PCI; one that does not let us see it must not look as if it had none. */
function checkBus(sysfs: string): void {
  const bus = join(sysfs, 'bus/pci/devices');
  try {
    readdirSync(bus);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return;
    const message = `cannot read ${bus} (${code}): what is there is not known; run it as a user who may read it`;
    throw new DiscoverError('failed', message, { cause: error });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** A tree's own /proc and /dev lie beside it, as they do for /sys; never this machine's for another's tree. */
function rootsBeside(sysfs: string): Roots {
  const base = dirname(sysfs);
  return { sysfs, proc: join(base, 'proc'), dev: join(base, 'dev') };
}
