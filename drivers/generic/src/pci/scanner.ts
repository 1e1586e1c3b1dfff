/** The scanning process, which all backends of this driver share, and the answers to what it asks. */
import type { BackendContext } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import { ScanProcess } from '@cyborg/driver-sdk/scan-process';
import type { Health } from '@cyborg/driver-sdk/protocol';
import type { Definition } from '../definitions/schema.ts';
import type { PciConfig } from './config.ts';
import type { KnownIdentities } from './identity.ts';
import type {
  HostScanInput,
  OpenNodesAnswer,
  ScanQuestion,
  SerialNumbersAnswer,
} from './scan-host.ts';
import type { BoundFunction, ScanOutput } from './scan.ts';

export type ScanContext = Omit<BackendContext<unknown>, 'config'>;

export interface ScanWish {
  readonly config: PciConfig;
  /** What the last scan said that it knows. */
  readonly known: KnownIdentities;
  readonly definitions?: readonly Definition[];
  readonly healths?: Readonly<Record<string, Health>>;
}

export class PciScanner {
  #log: ScanContext['log'] | undefined;
  readonly #process = new ScanProcess<HostScanInput, ScanOutput>({
    module: new URL('./scan-host.ts', import.meta.url),
    onBlocked: (path) =>
      this.#log?.('warn', `${path} does not answer: taken for unreadable from now on`),
  });

  /** Files that do not answer. */
  get blockedPaths(): readonly string[] {
    return this.#process.blockedPaths;
  }

  async scan(context: ScanContext, wish: ScanWish): Promise<ScanOutput> {
    this.#log = context.log;
    const bound = context.simulated ? [] : await askBound(context);
    return await this.#process.run(toScanInput(context, wish, bound), {
      signal: context.signal,
      // The scan asks nothing else.
      onQuestion: async (question) => await answer(context, question as ScanQuestion),
    });
  }

  warm(): void {
    this.#process.warm();
  }

  close(): void {
    this.#process.close();
  }
}

function toScanInput(
  context: ScanContext,
  { config, known, definitions = [], healths = {} }: ScanWish,
  boundByUs: readonly BoundFunction[],
): HostScanInput {
  const { sysfs, proc } = context.roots;
  return {
    roots: { sysfs, proc },
    isSimulated: context.simulated,
    hostName: context.host.node_name,
    config: withoutTexts(config),
    definitions,
    healths: onlyUnwell(healths),
    // Another host's tree, or a recorded one, has its own processes or none.
    asksAgent: !context.simulated && proc === '/proc',
    boundByUs,
    known,
  };
}

/** They are read already. */
function withoutTexts(config: PciConfig): PciConfig {
  return { ...config, definitions: [] };
}

/** What is not told counts as healthy. */
function onlyUnwell(healths: Readonly<Record<string, Health>>): Record<string, Health> {
  return Object.fromEntries(
    Object.entries(healths).filter(([, { status }]) => status !== 'healthy'),
  );
}

/** Without an agent, or with one of before, nothing was bound. */
export async function askBound({ ask }: ScanContext): Promise<readonly BoundFunction[]> {
  try {
    return (await ask('listBound', {})).functions;
  } catch (error) {
    if (error instanceof DriverError && error.code === 'unsupported') return [];
    throw error;
  }
}

async function answer(
  { ask }: ScanContext,
  question: ScanQuestion,
): Promise<OpenNodesAnswer | SerialNumbersAnswer> {
  try {
    return 'nodes' in question
      ? await ask('openNodes', { nodes: [...question.nodes] })
      : await ask('serialNumbers', { addresses: [...question.addresses] });
  } catch (error) {
    if (error instanceof DriverError && error.code === 'unsupported') return 'unknown';
    throw error;
  }
}
