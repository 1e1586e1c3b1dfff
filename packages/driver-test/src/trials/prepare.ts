/** Plans: how an accelerator is plugged. */
import { driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { demandRefusal } from '../conversation.ts';
import { demand, Untested } from '../failures.ts';
import { allPlugs, releaseOrder, type Trial } from '../kit.ts';

/** Plans of these kinds are made anew for each instance: two that look alike share nothing. */
const unlimited: ReadonlySet<string> = new Set(['virtio-crypto', 'virtio-rng']);

export const prepare: readonly Trial[] = [
  {
    clause: 'D-PREP-1',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      for (const target of await kit.targets()) {
        const { key, plans } = target.accelerator;
        for (const plugs of [[...allPlugs], [...plans]]) {
          const order = { ...kit.prepareOrder(target), plugs };
          const { plan } = await conversation.call('prepare', order);
          demand(
            plans.includes(plan.kind),
            () => `${key} lists plans ${plans.join(', ')}; prepare answered ${plan.kind}`,
          );
          await conversation.call('release', releaseOrder(order));
        }
      }
    },
  },
  {
    clause: 'D-PREP-2',
    needs: ['D-PREP-1', 'D-DISC-3'],
    run: async (kit) => {
      const conversation = await kit.fresh();
      const prepared: [ReturnType<typeof kit.prepareOrder>, string][] = [];
      for (const target of await kit.targets()) {
        const order = kit.prepareOrder(target);
        const { plan } = await conversation.call('prepare', order);
        prepared.push([order, JSON.stringify(plan)]);
        const again = await conversation.call('prepare', order);
        demandSame(JSON.stringify(plan), again.plan, `the same process for ${order.accelerator}`);
      }
      await conversation.kill('it had prepared accelerators');
      const other = await kit.fresh();
      for (const [order, first] of prepared) {
        const { plan } = await other.call('prepare', order);
        demandSame(first, plan, `a new process for ${order.accelerator}`);
        await other.call('release', releaseOrder(order));
      }
      await other.leave();
    },
  },
  {
    clause: 'D-PREP-3',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const target = await kit.target();
      const order = { ...kit.prepareOrder(target), accelerator: 'driver-test/gone' };
      const answer = await conversation.attempt('prepare', order);
      demandRefusal(answer, [driverErrorCodes.gone], 'prepare of what is not there');
    },
  },
  {
    clause: 'D-PREP-4',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      for (const target of await kit.targets()) {
        const { plans } = target.accelerator;
        const others = allPlugs.filter((plug) => !plans.includes(plug));
        for (const plugs of [[], others]) {
          const order = { ...kit.prepareOrder(target), plugs };
          const answer = await conversation.attempt('prepare', order);
          const what = `prepare for an instance that can plug ${plugs.join(', ') || 'nothing'}`;
          demandRefusal(answer, [driverErrorCodes.unsupported], what);
        }
      }
    },
  },
  {
    clause: 'D-PREP-5',
    needs: ['D-PREP-1', 'D-RPC-5'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const orders = (await kit.targets()).map((target) => kit.prepareOrder(target));
      const answers = await Promise.all(
        orders.map(async (order) => conversation.call('prepare', order)),
      );
      const taken = new Map<string, string>();
      for (const [index, { plan }] of answers.entries()) {
        const { accelerator = '' } = orders[index] ?? {};
        if (unlimited.has(plan.kind)) continue;
        const text = JSON.stringify(plan);
        const other = taken.get(text);
        demand(other === undefined, () => `${other} and ${accelerator} both have the plan ${text}`);
        taken.set(text, accelerator);
      }
      for (const order of orders) await conversation.call('release', releaseOrder(order));
    },
  },
  {
    clause: 'D-PREP-6',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const inventories = await kit.discoverAll(conversation);
      const used = [...inventories].flatMap(([backend, { devices }]) =>
        devices
          .flatMap(({ deployables }) => deployables)
          .flatMap(({ accelerators }) => accelerators)
          .filter((one) => one.host_use !== null)
          .map((accelerator) => ({ backend, accelerator })),
      );
      if (used.length === 0) throw new Untested('the host uses none of its accelerators');
      for (const target of used.slice(0, 4)) {
        const answer = await conversation.attempt('prepare', kit.prepareOrder(target));
        const what = `prepare of ${target.accelerator.key}, which the host uses,`;
        demandRefusal(answer, [driverErrorCodes['host-use']], what);
      }
    },
  },
];

function demandSame(first: string, plan: AttachPlan, by: string): void {
  const second = JSON.stringify(plan);
  demand(first === second, () => `${by} was first answered ${first}, then ${second}`);
}
