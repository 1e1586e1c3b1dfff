/** A look at all domains of one libvirt. */
import type { PlanKind } from '@cyborg/driver-sdk/protocol';

import type { Rng } from '@cyborg/service/rng';

import { isInstanceId } from '../device-name.ts';
import type { InstanceListing, InstanceState, ObservedInstance } from '../hypervisor.ts';
import { toNodes, type HostNuma } from '../numa.ts';
import type { QemuProcesses } from '../processes.ts';
import { readDomain, type DomainDescription } from './domain-xml.ts';
import type { Virsh } from './virsh.ts';

export const lookLimits = {
  /** Domains asked for over one connection: the command line has a limit of its own. */
  domainsAtOnce: 200,
  domainsMax: 2_000,
} as const;

/** Kinds that need no hardware of the host. */
export const virtualPlugs: readonly PlanKind[] = ['virtio-rng'];

/** What `virsh domstate` says, by libvirt's virDomainState. */
const states: ReadonlyMap<string, InstanceState> = new Map([
  ['running', 'ACTIVE'],
  ['idle', 'ACTIVE'],
  ['in shutdown', 'ACTIVE'],
  ['paused', 'PAUSED'],
  ['pmsuspended', 'SUSPENDED'],
  ['shut off', 'SHUTOFF'],
  ['crashed', 'ERROR'],
]);

export interface LookOptions {
  readonly virsh: Virsh;
  readonly rng: Rng;
  readonly lookAtProcesses: () => Promise<QemuProcesses | null>;
  readonly numa: HostNuma;
  /** What this host can plug into any machine. */
  readonly plugs: readonly PlanKind[];
}

/**
 * Machines that run but that libvirt does not list are unknown, not gone: a libvirtd that is starting lists nothing.
 * @throws HypervisorError `unavailable`
 */
export async function lookAtDomains(
  options: LookOptions,
  signal: AbortSignal,
): Promise<InstanceListing> {
  const { virsh, lookAtProcesses } = options;
  const listed = await virsh.run(['--quiet', 'list', '--all', '--uuid'], signal);
  const ids = listed
    .split('\n')
    .map((line) => line.trim())
    .filter(isInstanceId);
  const asked = ids.slice(0, lookLimits.domainsMax);
  const instances: ObservedInstance[] = [];
  for (let at = 0; at < asked.length; at += lookLimits.domainsAtOnce) {
    const some = asked.slice(at, at + lookLimits.domainsAtOnce);
    instances.push(...(await describe(options, some, signal)));
  }
  const seen = new Set(instances.map(({ id }) => id));
  const processes = await lookAtProcesses();
  const running = processes?.uuids ?? [];
  const unknownIds = [...new Set([...ids, ...running])].filter((id) => !seen.has(id));
  const unseen = processes === null ? 1 : 0;
  return {
    instances,
    unknownIds,
    unknownCount: unknownIds.length + unseen,
    warnings: warningsOf(ids.length, processes),
  };
}

function warningsOf(domains: number, processes: QemuProcesses | null): readonly string[] {
  const beyond = domains - lookLimits.domainsMax;
  return [
    ...(beyond > 0
      ? [`libvirt has more than ${lookLimits.domainsMax} domains; ${beyond} were not looked at.`]
      : []),
    ...(processes === null ? ['The processes of this host could not be read in time.'] : []),
  ];
}

/** A domain that goes between list and look is left out. */
async function describe(
  options: LookOptions,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<readonly ObservedInstance[]> {
  // Tenants choose names that are in the XML: what parts the answers, nobody can guess.
  const { virsh, rng } = options;
  const nonce = rng.bytes(16).toString('hex');
  const marked = ids.map((id) => ({ id, mark: `@${nonce}@${id}@` }));
  const commands = marked.flatMap(({ id, mark }) => [
    `echo ${mark}`,
    `domstate ${id}`,
    `dumpxml ${id}`,
  ]);
  const text = await virsh.script(commands, signal);
  const instances: ObservedInstance[] = [];
  for (const [index, { id, mark }] of marked.entries()) {
    const begin = text.indexOf(mark);
    const next = marked[index + 1];
    const end = next === undefined ? -1 : text.indexOf(next.mark);
    const section = text.slice(begin + mark.length, end < 0 ? undefined : end);
    const instance = begin < 0 ? undefined : await toInstance(options, id, section);
    if (instance !== undefined) instances.push(instance);
  }
  return instances;
}

async function toInstance(
  { plugs, numa }: LookOptions,
  id: string,
  section: string,
): Promise<ObservedInstance | undefined> {
  const at = section.indexOf('<domain');
  if (at < 0) return undefined;
  const domain = readDomain(section.slice(at));
  if (domain === undefined) return undefined;
  const { name, projectId, deviceNames, deviceAddresses, functions, hasHotplug } = domain;
  const numaNodes = await numaNodesOf(domain, numa);
  return {
    id,
    name,
    projectId,
    state: states.get(section.slice(0, at).trim()) ?? 'UNKNOWN',
    plugs: plugs.filter((kind) => hasHotplug || virtualPlugs.includes(kind)),
    devices: deviceNames.map((alias) => {
      const address = deviceAddresses.get(alias);
      return address === undefined ? { name: alias } : { name: alias, address };
    }),
    functions,
    ...(numaNodes === undefined ? {} : { numaNodes }),
  };
}

async function numaNodesOf(
  { memoryNodes, cpus }: DomainDescription,
  numa: HostNuma,
): Promise<readonly number[] | undefined> {
  if (memoryNodes.length === 0 && cpus.size === 0) return undefined;
  if (!(await numa.hasNodes())) return undefined;
  return toNodes([...memoryNodes, ...((await numa.nodesOfCpus(cpus)) ?? [])]);
}
