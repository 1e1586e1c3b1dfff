/** Inventories: whole, stable, consistent. */
import type { DriverAccelerator, DriverDevice, Inventory } from '@cyborg/driver-sdk/protocol';
import { demand, Untested } from '../failures.ts';
import type { Trial } from '../kit.ts';
import { problemOfNames } from '../names.ts';
import { demandAlive } from './framing.ts';

interface Placed {
  readonly device: DriverDevice;
  readonly accelerator: DriverAccelerator;
}

function acceleratorsOf({ devices }: Inventory): Placed[] {
  return devices.flatMap((device) =>
    device.deployables
      .flatMap(({ accelerators }) => accelerators)
      .map((accelerator) => ({ device, accelerator })),
  );
}

const reasonsShownMax = 3;

/** Why what is listed is not offered: the driver may be right, and the machine the wrong one. */
function reasonsOf(all: readonly Placed[]): string {
  const reasons = all.map(({ accelerator: { key, reason } }) => `${key}: ${reason ?? 'no reason'}`);
  if (reasons.length === 0) return ': none is listed';
  const more = reasons.length > reasonsShownMax ? '; …' : '';
  return ` (${reasons.slice(0, reasonsShownMax).join('; ')}${more})`;
}

export const discover: readonly Trial[] = [
  {
    clause: 'D-DISC-1',
    needs: ['D-INIT-1'],
    run: async (kit) => {
      const inventories = await kit.discoverAll(await kit.calm());
      const all = [...inventories.values()].flatMap(acceleratorsOf);
      const kinds = kit.subject.backends.map(({ name }) => name).join(', ') || 'none';
      demand(
        all.some(({ accelerator }) => accelerator.offered),
        () =>
          `no backend (${kinds}) offers an accelerator${reasonsOf(all)}; give --backends FILE, or --tree PATH of a machine with hardware that it knows`,
      );
      for (const [name, inventory] of inventories) {
        const problem = problemOfNames(inventory);
        demand(problem === undefined, () => `backend ${name}: ${problem}`);
      }
    },
  },
  {
    clause: 'D-DISC-2',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      for (const [name, inventory] of await kit.discoverAll(await kit.calm())) {
        const { devices } = inventory;
        demandUnique(`backend ${name}: device`, devices);
        demandUnique(
          `backend ${name}: deployable`,
          devices.flatMap((one) => one.deployables),
        );
        const accelerators = acceleratorsOf(inventory).map(({ accelerator }) => accelerator);
        demandUnique(`backend ${name}: accelerator`, accelerators);
      }
    },
  },
  {
    clause: 'D-DISC-3',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const first = await kit.discoverAll(conversation);
      demandSame(first, await kit.discoverAll(conversation), 'the same process');
      const backends = kit.subject.backends.toReversed();
      const other = await kit.fresh({ backends });
      demandSame(first, await kit.discoverAll(other), 'a new process');
      await other.leave();
    },
  },
  {
    clause: 'D-DISC-4',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      for (const inventory of (await kit.discoverAll(await kit.calm())).values()) {
        for (const { accelerator } of acceleratorsOf(inventory)) checkOffer(accelerator);
        for (const service of inventory.services) {
          demand(
            service.accelerators_offered <= service.accelerators_total,
            () => `service ${service.name} offers more accelerators than it has`,
          );
        }
      }
    },
  },
  {
    clause: 'D-DISC-5',
    needs: ['D-DISC-2', 'D-DISC-3'],
    run: async (kit) => {
      if (kit.subject.options.tree !== undefined) {
        throw new Untested('a recorded machine is not taken apart');
      }
      const before = await kit.discoverAll(await kit.calm());
      const conversation = await kit.fresh({ machine: 'changed' });
      const after = await kit.discoverAll(conversation);
      await conversation.leave();
      for (const [name, inventory] of before) {
        demandSameKeys(name, inventory, after.get(name) ?? { devices: [], services: [] });
      }
    },
  },
  {
    clause: 'D-DISC-6',
    needs: ['D-INIT-1'],
    run: async (kit) => {
      const conversation = await kit.fresh({ machine: 'empty', install: false });
      for (const { name } of kit.subject.backends) {
        const answer = await conversation.attempt('discover', { backend: name });
        if ('result' in answer) conversation.parse('discover', answer.result);
      }
      await demandAlive(conversation);
      await conversation.leave();
    },
  },
];

function demandUnique(what: string, items: readonly { readonly key: string }[]): void {
  const seen = new Set<string>();
  for (const { key } of items) {
    demand(!seen.has(key), () => `${what} ${key} is there twice`);
    seen.add(key);
  }
}

function demandSame(
  first: ReadonlyMap<string, Inventory>,
  second: ReadonlyMap<string, Inventory>,
  by: string,
): void {
  for (const [name, inventory] of first) {
    const told = linesOf(inventory);
    const again = new Set(linesOf(second.get(name) ?? { devices: [], services: [] }));
    const missing = told.filter((line) => !again.has(line));
    demand(
      missing.length === 0 && told.length === again.size,
      () => `backend ${name}: ${by} told something else the second time: ${missing[0] ?? 'more'}`,
    );
  }
}

/** Without the order of the lists, which says nothing. */
function linesOf({ devices, services }: Inventory): string[] {
  const lists = devices.flatMap(({ deployables, ...device }) => [
    JSON.stringify(device),
    ...deployables.flatMap(({ accelerators, ...part }) => [
      JSON.stringify([device.key, part]),
      ...accelerators.map((one) => JSON.stringify([device.key, part.key, one])),
    ]),
  ]);
  return [...lists, ...services.map((service) => JSON.stringify(service))];
}

function checkOffer({ key, offered, reason, host_use: hostUse, plans }: DriverAccelerator): void {
  if (!offered) {
    demand(
      (reason ?? hostUse ?? '').trim() !== '',
      () => `accelerator ${key} is not offered, and neither reason nor host_use says why`,
    );
    return;
  }
  demand(reason === null, () => `accelerator ${key} is offered with the reason "${reason}"`);
  demand(hostUse === null, () => `accelerator ${key} is offered and used by the host: ${hostUse}`);
  demand(plans.length > 0, () => `accelerator ${key} is offered and cannot be plugged: no plans`);
}

/** What is told of one place, by where it is: accelerators of the same address and handle are the same hardware. */
function demandSameKeys(backend: string, before: Inventory, after: Inventory): void {
  const placeOf = ({ device, accelerator }: Placed): string | undefined => {
    const handle = Object.entries(accelerator.attach_info).toSorted(([a], [b]) => (a < b ? -1 : 1));
    if (device.address === null && handle.length === 0) return undefined;
    return JSON.stringify([device.address, handle]);
  };
  const keys = new Map<string, string>();
  for (const placed of acceleratorsOf(before)) {
    const place = placeOf(placed);
    if (place !== undefined) keys.set(place, placed.accelerator.key);
  }
  for (const placed of acceleratorsOf(after)) {
    const place = placeOf(placed);
    const was = place === undefined ? undefined : keys.get(place);
    const { key } = placed.accelerator;
    demand(
      was === undefined || was === key,
      () =>
        `backend ${backend}: ${place} was accelerator ${was} and is ${key} since another card was moved`,
    );
  }
}
