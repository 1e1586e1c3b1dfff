/** Domain XML, read and written by a library (https://libvirt.org/formatdomain.html). */
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { XMLBuilder, XMLParser, XMLValidator } from 'fast-xml-parser';

import { deviceNamePrefix } from '../device-name.ts';
import { checkEntropySource } from '../entropy-sources.ts';
import { HypervisorError } from '../hypervisor.ts';
import { parseCpuList } from '../numa.ts';
import { freePortsIn, type FreePort } from './ports.ts';
import { child, listOf, textOf, valuesOf } from './xml.ts';
import { checkVfioPlan, isVfioPlan, type VfioPlan } from '../vfio.ts';

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  removeNSPrefix: true,
  parseTagValue: false,
  processEntities: true,
});
const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  suppressBooleanAttributes: false,
});

export interface DomainDescription {
  readonly name: string;
  /** Of Nova's metadata: the server's owner. Null for a domain that Nova did not define. */
  readonly projectId: string | null;
  /** Aliases of ours, in the order of the XML. */
  readonly deviceNames: readonly string[];
  /** Of those that are PCI functions of the host: the address, by alias. */
  readonly deviceAddresses: ReadonlyMap<string, string>;
  /** Addresses of the host's PCI functions that it has, whoever gave them. */
  readonly functions: readonly string[];
  /** Whether its machine has a place for devices that come while it runs; they may all be in use. */
  readonly hasHotplug: boolean;
  /** Buses on which a device that comes while it runs finds a place of its own. */
  readonly freePorts: readonly FreePort[];
  /** The host's NUMA nodes that its memory is tied to. */
  readonly memoryNodes: readonly number[];
  /** The host's CPUs that its virtual ones are tied to; empty when one of them may run anywhere. */
  readonly cpus: ReadonlySet<number>;
}

/** @returns undefined when the text is no domain. */
export function readDomain(xml: string): DomainDescription | undefined {
  if (XMLValidator.validate(xml) !== true) return undefined;
  const domain = child(parser.parse(xml), 'domain');
  const name = textOf(child(domain, 'name'));
  if (name === undefined) return undefined;
  const nova = child(child(domain, 'metadata'), 'instance');
  const functions = functionsIn(child(domain, 'devices'));
  return {
    name: textOf(child(nova, 'name')) ?? name,
    projectId: textOf(child(child(child(nova, 'owner'), 'project'), '@uuid')) ?? null,
    deviceNames: aliasesIn(child(domain, 'devices')).filter((alias) =>
      alias.startsWith(deviceNamePrefix),
    ),
    deviceAddresses: new Map(
      functions.flatMap(({ alias, address }) => (alias === undefined ? [] : [[alias, address]])),
    ),
    functions: functions.map(({ address }) => address),
    hasHotplug: listOf(child(domain, 'devices'), 'controller').some(takesHotplug),
    freePorts: freePortsIn(domain),
    memoryNodes: memoryNodesIn(child(domain, 'numatune')),
    cpus: cpusIn(domain),
  };
}

function takesHotplug(controller: unknown): boolean {
  if (textOf(child(controller, '@type')) !== 'pci') return false;
  const model = textOf(child(controller, '@model')) ?? '';
  return ['pcie-root-port', 'pcie-switch-downstream-port', 'pci-root'].includes(model);
}

function memoryNodesIn(numatune: unknown): number[] {
  const elements = [...listOf(numatune, 'memory'), ...listOf(numatune, 'memnode')];
  return elements.flatMap((element) => [...parseCpuList(textOf(child(element, '@nodeset')) ?? '')]);
}

function cpusIn(domain: unknown): ReadonlySet<number> {
  const count = Number(textOf(child(domain, 'vcpu')) ?? '1');
  const anywhere = textOf(child(child(domain, 'vcpu'), '@cpuset'));
  const pins = listOf(child(domain, 'cputune'), 'vcpupin').map(
    (pin) => textOf(child(pin, '@cpuset')) ?? '',
  );
  if (pins.length < count && anywhere === undefined) return new Set();
  const lists = pins.length < count ? [...pins, anywhere ?? ''] : pins;
  return new Set(lists.flatMap((list) => [...parseCpuList(list)]));
}

/** `<hostdev type="pci"><source><address domain="0x0000" …/>`, `<interface type="hostdev">` and `<disk type="nvme">` alike. */
function functionsIn(devices: unknown): { alias: string | undefined; address: string }[] {
  const found = ['hostdev', 'interface', 'disk'].flatMap((name) => listOf(devices, name));
  return found.flatMap((device) => {
    const address = child(child(device, 'source'), 'address');
    const [domain, bus, slot, fn] = ['domain', 'bus', 'slot', 'function'].map((part) =>
      Number.parseInt(textOf(child(address, `@${part}`)) ?? '', 16),
    );
    if (domain === undefined || bus === undefined || slot === undefined || fn === undefined)
      return [];
    if ([domain, bus, slot, fn].some(Number.isNaN)) return [];
    const hex = (value: number, width: number): string => value.toString(16).padStart(width, '0');
    const alias = textOf(child(child(device, 'alias'), '@name'));
    return [{ alias, address: `${hex(domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${hex(fn, 1)}` }];
  });
}

/**
 * @param bus where hardware of the host goes; null: libvirt chooses, and never a PCIe port for what is not PCIe
 * @throws HypervisorError `unsupported-plan`
 */
export function deviceXml(plan: AttachPlan, deviceName: string, bus: number | null): string {
  if (isVfioPlan(plan)) {
    checkVfioPlan(plan);
    return builder.build({
      hostdev: { ...hostdevOf(plan), alias: { '@name': deviceName }, ...placeOf(bus) },
    });
  }
  if (plan.kind !== 'virtio-rng') {
    throw new HypervisorError('unsupported-plan', `The libvirt adapter cannot plug ${plan.kind}.`);
  }
  checkEntropySource(plan.source);
  return builder.build({
    rng: {
      '@model': 'virtio',
      ...(plan.max_bytes === undefined ? {} : { rate: rateOf(plan.max_bytes, plan.period_ms) }),
      backend: { '@model': 'random', '#text': plan.source },
      alias: { '@name': deviceName },
    },
  });
}

/** `managed='no'`: which driver a function is bound to is the agent's business, and libvirt leaves it alone. */
function hostdevOf(plan: VfioPlan): Record<string, unknown> {
  if (plan.kind === 'mdev') {
    const source = { address: { '@uuid': plan.uuid } };
    return { '@mode': 'subsystem', '@type': 'mdev', '@model': 'vfio-pci', source };
  }
  const [domain, bus, slot, fn] = plan.address.split(/[:.]/);
  const address = {
    '@domain': `0x${domain}`,
    '@bus': `0x${bus}`,
    '@slot': `0x${slot}`,
    '@function': `0x${fn}`,
  };
  return { '@mode': 'subsystem', '@type': 'pci', '@managed': 'no', source: { address } };
}

function placeOf(bus: number | null): Record<string, unknown> {
  if (bus === null) return {};
  const address = { '@domain': '0x0000', '@bus': `0x${bus.toString(16)}`, '@slot': '0x00' };
  return { address: { '@type': 'pci', ...address, '@function': '0x0' } };
}

function rateOf(bytes: number, periodMs: number | undefined): Record<string, string> {
  const period = periodMs === undefined ? {} : { '@period': String(periodMs) };
  return { '@bytes': String(bytes), ...period };
}

function aliasesIn(devices: unknown): string[] {
  return valuesOf(devices)
    .flatMap((found) => (Array.isArray(found) ? found : [found]))
    .flatMap((device) => textOf(child(child(device, 'alias'), '@name')) ?? []);
}
