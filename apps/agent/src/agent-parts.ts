/** The parts of an agent, joined: those that speak with the server, and those that act on the host. */
import type { Held, Order } from '@cyborg/api-spec/agent/desired';
import type { OrderOutcome } from '@cyborg/api-spec/agent/report';
import type { Roots } from '@cyborg/driver-sdk/protocol';
import type { DriverTrust } from '@cyborg/driver-package/signature';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { Acts } from './attachments/acts.ts';
import type { Fence } from './attachments/fence.ts';
import { Images, imagesFolder } from './attachments/images.ts';
import { OrderBook } from './attachments/order-book.ts';
import { UnclaimedReleases } from './attachments/unclaimed-releases.ts';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import { Installations } from './driver-host/installations.ts';
import { Packages, packagesFolder } from './driver-host/packages.ts';
import type { Launched } from '@cyborg/driver-host/launch';
import { driverLimits, type DriverLimits } from '@cyborg/driver-host/limits';
import { hostCommands, type HostCommands } from './host-needs/commands.ts';
import { HostPreparation } from './host-needs/host-preparation.ts';
import type { Hypervisor } from './hypervisors/hypervisor.ts';
import { WatchedHypervisor } from './instances/hypervisors.ts';
import { Observer } from './instances/observer.ts';
import { InventoryPublisher } from './inventory/publisher.ts';
import { agentDefaults } from './limits.ts';
import type { Log } from './log.ts';
import { PrivilegedActs } from './privileged/acts.ts';
import { Permits } from './privileged/permits.ts';
import type { ListenAddress } from './metrics/listener.ts';
import type { Measures } from './metrics/measures.ts';
import { DesiredPoll, type DesiredPollDeps } from './server-link/desired-poll.ts';
import { HeldList } from './server-link/held-list.ts';
import { Lease, type LeaseDeps } from './server-link/lease.ts';
import { Reporter } from './server-link/reporter.ts';
import { ServerLink } from './server-link/server-link.ts';
import type { Boots } from './state/boots.ts';
import type { LedgerMemory } from './state/ledger-memory.ts';
import type { Predecessors } from './state/predecessors.ts';
import type { RunningDrivers } from './state/running-drivers.ts';

export interface AgentSettings {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly hypervisor: Hypervisor | null;
  readonly server: string;
  readonly ca: string | undefined;
  /** Exists; a real path. */
  readonly stateDir: string;
  readonly host: { readonly name: string; readonly nodeName: string };
  readonly joinToken: string | undefined;
  readonly joinTokenFile: string | undefined;
  readonly facts: Readonly<Record<string, string>>;
  readonly simulated: boolean;
  readonly roots: Roots;
  readonly driversDirs: readonly string[];
  /** Kernel modules that host policy lets us load. */
  readonly loadModules?: readonly string[];
  /** The machine's own when absent. */
  readonly hostCommands?: HostCommands;
  readonly hostRoot?: string;
  readonly uid: number;
  readonly execPath: string;
  readonly inventoryIntervalMs: number;
  /** What tells of PCI functions that come and go (hardware-events.ts); none: only the interval. */
  readonly hardwareEventsCommand?: readonly string[] | undefined;
  readonly instanceIntervalMs: number;
  readonly attachDeadlineMs: number;
  readonly stopGraceMs: number;
  readonly driverTrust: DriverTrust;
  /** Where metrics are served; nowhere when absent. */
  readonly metricsListen?: ListenAddress | undefined;
  readonly driverLimits?: DriverLimits;
  readonly privilegedActTimeoutMs?: number;
}

/** What is read or probed before the parts can be made. */
export interface Opened {
  readonly boots: Boots;
  readonly ledger: LedgerMemory;
  readonly fence: Fence;
  readonly launch: (pkg: DriverPackage) => Promise<Launched>;
  readonly runningDrivers: RunningDrivers;
  /** UUID of this run. */
  readonly instance: string;
  readonly predecessors: Predecessors;
  readonly measures: Measures;
}

export interface ServerParts {
  readonly link: ServerLink;
  readonly lease: Lease;
  readonly reporter: Reporter;
  readonly held: HeldList;
  readonly poll: DesiredPoll;
  readonly publisher: InventoryPublisher;
}

type ServerHooks = Pick<LeaseDeps, 'describe' | 'renewCredential' | 'onNewLedger'> &
  Pick<DesiredPollDeps, 'onDesired' | 'onForeign'> & {
    readonly onAccepted: (outcomes: readonly OrderOutcome[]) => void;
    readonly onHeldLoaded: (held: Iterable<Held>) => void;
  };

export function makeServerParts(
  settings: AgentSettings,
  { ledger, instance, predecessors }: Opened,
  hooks: ServerHooks,
): ServerParts {
  const { clock, rng, log, server: baseUrl, ca } = settings;
  const link = new ServerLink({ baseUrl, ca, instance, clock, rng });
  const { describe, renewCredential, onNewLedger, onDesired, onForeign } = hooks;
  const world = { link, ledger, clock, rng, log };
  const lease = new Lease({ ...world, predecessors, describe, renewCredential, onNewLedger });
  const base = { ...world, lease };
  return {
    link,
    lease,
    reporter: new Reporter({ ...base, onAccepted: hooks.onAccepted }),
    held: new HeldList({ ...base, onLoaded: hooks.onHeldLoaded }),
    poll: new DesiredPoll({ ...base, onDesired, onForeign, onNewLedger }),
    publisher: new InventoryPublisher(base),
  };
}

export interface HostParts {
  readonly drivers: Installations;
  readonly hypervisor: WatchedHypervisor;
  readonly observer: Observer;
  readonly book: OrderBook;
  readonly unclaimed: UnclaimedReleases;
}

interface HostHooks extends ServerParts {
  readonly refreshHeld: () => void;
  readonly isOutdated: (order: Order) => boolean;
  readonly onSettled: (order: Order, outcome: OrderOutcome) => void;
}

export function makeHostParts(
  settings: AgentSettings,
  opened: Opened,
  hooks: HostHooks,
): HostParts {
  const { clock, rng, log } = settings;
  const { boots, fence, measures } = opened;
  const { lease, reporter, held, refreshHeld, isOutdated, onSettled } = hooks;
  const permits = new Permits();
  const packages = new Packages({
    clock,
    log,
    folder: packagesFolder(settings.stateDir),
    trust: settings.driverTrust,
    download: (sha512, signal) => hooks.link.downloadPackage(sha512, signal),
  });
  const drivers = makeDrivers(settings, { ...opened, ...hooks, packages, permits });
  const hypervisor = new WatchedHypervisor({
    clock,
    log,
    measures,
    hypervisor: settings.hypervisor,
    instanceIntervalMs: settings.instanceIntervalMs,
    onListing: (kind, listing, beganAtMs) => observer.listed(kind, listing, beganAtMs),
    onHealth: () => lease.renewSoon(),
  });
  const isOrdered = (attachmentId: string): boolean => book.isOrdered(attachmentId);
  const observer = new Observer({
    clock,
    reporter,
    held,
    isOrdered,
    refreshHeld,
    world: hypervisor.world,
    acceleratorOf: (attachmentId) => fence.acceleratorOf(attachmentId),
    whyNotReleased: (device) => unclaimed.whyNot(device),
    isUnprepared: (attachmentId) => boots.isUnprepared(attachmentId),
  });
  const strangers = { untraceable: (): string | undefined => observer.untraceable, refreshHeld };
  const images = makeImages(settings, hooks.link);
  const acts = new Acts({ clock, fence, permits, drivers, hypervisor, images, ...strangers });
  const book = new OrderBook({
    clock,
    rng,
    log,
    measures,
    fence,
    lease,
    isOutdated,
    onSettled,
    attachDeadlineMs: settings.attachDeadlineMs,
    tryOrder: async (attempt) => acts.try(attempt),
    report: (outcome) => reporter.outcome(outcome),
  });
  const unclaimed = new UnclaimedReleases({
    clock,
    log,
    lease,
    hypervisor,
    isHeldKnown: () => held.isLoaded,
    isExplained: (device) => observer.isExplained(device),
    onReason: () => {
      if (hypervisor.isHealthy) observer.releaseWaits();
    },
  });
  return { drivers, hypervisor, observer, book, unclaimed };
}

function makeImages({ stateDir }: AgentSettings, link: ServerLink): Images {
  const download = (sha256: string, signal: AbortSignal): ReturnType<ServerLink['download']> =>
    link.download(sha256, signal);
  return new Images({ folder: imagesFolder(stateDir), download });
}

function makeDrivers(
  settings: AgentSettings,
  parts: Pick<ServerParts, 'held' | 'lease' | 'reporter' | 'publisher'> & {
    readonly runningDrivers: RunningDrivers;
    readonly launch: Opened['launch'];
    readonly measures: Measures;
    readonly packages: Packages;
    readonly permits: Permits;
  },
): Installations {
  const { clock, rng, log, simulated, driversDirs, stateDir, host } = settings;
  const { launch, measures, packages, permits, runningDrivers } = parts;
  const { held, lease, publisher, reporter } = parts;
  const { privilegedActTimeoutMs: timeoutMs = agentDefaults.privilegedActTimeoutMs } = settings;
  const preparation = new HostPreparation({
    ...settings,
    hostRoot: settings.hostRoot ?? '/',
    allowedModules: settings.loadModules ?? [],
    commands: settings.hostCommands ?? hostCommands,
  });
  const privileged = new PrivilegedActs({
    ...settings,
    permits,
    lease,
    held,
    preparation,
    timeoutMs,
  });
  return new Installations({
    clock,
    rng,
    log,
    measures,
    launch,
    packages,
    runningDrivers,
    preparation,
    heldKeys: (backendId) => (held.isLoaded ? heldKeysOf(held.values(), backendId) : undefined),
    publisher,
    simulated,
    driversDirs,
    stateDir,
    limits: settings.driverLimits ?? driverLimits,
    host: { name: host.name, node_name: host.nodeName },
    reportInstallation: (report) => reporter.installation(report),
    reportBackend: (report) => reporter.backend(report),
    privileged: (method, params, backend) =>
      measures.timed({ what: 'privileged-act', method }, () =>
        privileged.do(method, params, backend),
      ),
  });
}

function heldKeysOf(held: Iterable<Held>, backendId: string): Set<string> {
  const own = [...held].filter(({ backend_id }) => backend_id === backendId);
  return new Set(own.map(({ accelerator_key: key }) => key));
}
