/**
 * Discovery of a 1,000-function tree by the generic driver's process, over the protocol, against a C program that makes
 * the same reads, listings and look-ups. Process start is apart on both sides: the driver has discovered once before.
 * Both take turns, so that what else the machine does falls on both; the quickest of the rounds counts on both sides.
 */
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { TreeReader, type EntryKind } from '@cyborg/driver-sdk/sysfs';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import type { Roots } from '@cyborg/driver-sdk/protocol';
import { makeTempFolder } from '@cyborg/testing/embedded';
import {
  createMessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node';

import { pciConfig } from '../../drivers/generic/src/pci/config.ts';
import { scan } from '../../drivers/generic/src/pci/scan.ts';
import { withDefaults } from '@cyborg/driver-sdk/json-schema';
import type { BenchReport } from './report.ts';

const functions = 1000;
const ratioMax = 3;
const driverMain = join(import.meta.dirname, '..', '..', 'drivers', 'generic', 'src', 'main.ts');

export async function benchDiscovery(
  report: BenchReport,
  { rounds }: { readonly rounds: number },
): Promise<void> {
  using folder = makeTempFolder();
  const roots = buildTree(join(folder.path, 'tree'), { functions: describeFunctions() });
  const reads = recordReads(roots);
  const readerRound = buildReader(folder.path, reads);
  const { firstMs, leastMs, readerMs } = await timeDriver(roots, { readerRound, rounds });
  report.note(
    `discovery of ${functions} functions: ${leastMs.toFixed(0)} ms (the first ${firstMs.toFixed(0)} ms), ${reads.length} reads`,
  );
  timeLspci(roots, report);
  if (readerRound === undefined) {
    report.skip(
      'discovery over a C reader',
      'there is no C compiler: apt-get install gcc libc6-dev',
    );
    return;
  }
  report.note(`a C reader of the same: ${readerMs.toFixed(0)} ms`);
  report.figure({
    name: 'discovery, time over a C reader',
    value: leastMs / readerMs,
    unit: 'times',
    bound: { kind: 'at-most', value: ratioMax },
  });
}

/** GPUs, co-processors and crypto cards over four roots; one in four has a serial number. */
function describeFunctions(): FunctionDescription[] {
  const classes = [0x030200, 0x120000, 0x0b4000, 0x100000];
  return Array.from({ length: functions }, (_, index) => ({
    address: `000${index >> 8}:${hex(index & 0xff)}:00.0`,
    vendor: 0x10de,
    device: 0x2000 + (index % 16),
    class: classes[index % classes.length] ?? 0,
    driver: 'example',
    numaNode: index % 2,
    iommuGroup: index,
    resetMethods: 'flr bus',
    ...(index % 4 === 0 && { serial: BigInt(index + 1) }),
  }));
}

function hex(value: number): string {
  return value.toString(16).padStart(2, '0');
}

/** What a scan asks of the tree, in order, once the cards' identities are known: as the scans that are timed. */
function recordReads(roots: Roots): string[] {
  const reads: string[] = [];
  const reader = new RecordingReader(reads);
  const config = withDefaults(pciConfig, {}) as Parameters<typeof scan>[0]['config'];
  const input = { roots, isSimulated: false, hostName: 'bench', config, boundByUs: [] };
  const { known } = scan({ ...input, known: {} }, reader);
  reads.length = 0;
  scan({ ...input, known }, reader);
  return reads;
}

class RecordingReader extends TreeReader {
  readonly #reads: string[];

  constructor(reads: string[]) {
    super();
    this.#reads = reads;
  }

  override text(path: string, bytesMax?: number): string | undefined {
    this.#reads.push(`f ${path}`);
    return super.text(path, bytesMax);
  }

  override plainText(path: string): string | undefined {
    this.#reads.push(`f ${path}`);
    return super.plainText(path);
  }

  override bytes(path: string, bytesMax: number): Buffer | undefined {
    this.#reads.push(`f ${path}`);
    return super.bytes(path, bytesMax);
  }

  override link(path: string): string | undefined {
    this.#reads.push(`l ${path}`);
    return super.link(path);
  }

  override exists(path: string): boolean {
    this.#reads.push(`e ${path}`);
    return super.exists(path);
  }

  override inode(path: string): number | undefined {
    this.#reads.push(`e ${path}`);
    return super.inode(path);
  }

  override names(path: string): string[] | undefined {
    this.#reads.push(`d ${path}`);
    return super.names(path);
  }

  override entries(path: string): Map<string, EntryKind> | undefined {
    this.#reads.push(`d ${path}`);
    return super.entries(path);
  }
}

interface Times {
  readonly firstMs: number;
  /** Of the rounds after the first. */
  readonly leastMs: number;
  readonly readerMs: number;
}

async function timeDriver(
  roots: Roots,
  { readerRound, rounds }: { readerRound: (() => number) | undefined; rounds: number },
): Promise<Times> {
  const child = spawn(process.execPath, [driverMain], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {},
  });
  const connection = createMessageConnection(
    new StreamMessageReader(child.stdout),
    new StreamMessageWriter(child.stdin),
  );
  connection.listen();
  try {
    await connection.sendRequest('initialize', {
      protocol_versions: ['1'],
      agent_version: 'bench',
      host: { name: 'bench', node_name: 'bench' },
      roots,
      simulated: false,
      state_dir: null,
      backends: [],
    });
    await connection.sendRequest('install', {
      backend: { name: 'pci', kind: 'pci', config: {} },
      dry_run: false,
    });
    const times: number[] = [];
    const readerTimes: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const from = performance.now();
      const { devices } = await connection.sendRequest<{ devices: unknown[] }>('discover', {
        backend: 'pci',
      });
      times.push(performance.now() - from);
      if (readerRound !== undefined) readerTimes.push(readerRound());
      if (devices.length !== functions) throw new Error(`found ${devices.length} of ${functions}`);
    }
    const [firstMs = Number.NaN, ...rest] = times;
    return { firstMs, leastMs: Math.min(...rest), readerMs: Math.min(...readerTimes) };
  } finally {
    child.kill();
    connection.dispose();
  }
}

/** One round of the C reader, in milliseconds without its start; undefined without a compiler. */
function buildReader(folder: string, reads: readonly string[]): (() => number) | undefined {
  const program = join(folder, 'reader');
  const built = spawnSync('cc', ['-O2', '-o', program, join(import.meta.dirname, 'reader.c')]);
  if (built.status !== 0) return undefined;
  const list = join(folder, 'reads');
  writeFileSync(list, reads.join('\n'));
  return () => Number(spawnSync(program, [list, '1'], { encoding: 'utf8' }).stdout);
}

/** Reads far fewer files; here for scale only. */
function timeLspci(roots: Roots, report: BenchReport): void {
  const from = performance.now();
  const options = ['-A', 'linux-sysfs', '-O', `sysfs.path=${roots.sysfs}/bus/pci`, '-n'];
  const { status } = spawnSync('lspci', options);
  if (status === 0)
    report.note(`lspci -n, process start included: ${(performance.now() - from).toFixed(0)} ms`);
  else report.note('lspci -n: not here (apt-get install pciutils)');
}
