/** Fencing: what a newer order has overtaken is not carried out any more. */
import { driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import { demandRefusal } from '../conversation.ts';
import { Untested } from '../failures.ts';
import { releaseOrder, type Trial } from '../kit.ts';

const needs = ['D-PREP-2', 'D-REL-1', 'D-CLEAN-1'] as const;
const stale = [driverErrorCodes.invalid];

export const epochs: readonly Trial[] = [
  {
    clause: 'D-EPOCH-1',
    needs,
    run: async (kit) => {
      const conversation = await kit.calm();
      const target = await kit.target();
      const old = kit.prepareOrder(target);
      const { backend, accelerator, epoch } = old;
      const order = kit.prepareOrder(target);
      await conversation.call('prepare', order);
      const requests: [string, unknown][] = [
        ['prepare', old],
        ['release', releaseOrder(old)],
        ['clean', { backend, accelerator, epoch }],
      ];
      for (const [method, params] of requests) {
        const answer = await conversation.attempt(method, params);
        demandRefusal(answer, stale, `${method} with epoch ${epoch}, after ${order.epoch},`);
      }
      await conversation.call('prepare', order);
      await conversation.call('release', releaseOrder(order));
      await conversation.call('release', releaseOrder(order));
      const cleaning = kit.order(target);
      await conversation.call('clean', cleaning);
      await conversation.call('clean', cleaning);
    },
  },
  {
    clause: 'D-EPOCH-2',
    needs,
    run: async (kit) => {
      const conversation = await kit.calm();
      const [first, second] = await kit.targets();
      if (first === undefined || second === undefined) throw new Untested('it offers but one');
      const early = kit.prepareOrder(second);
      const late = kit.prepareOrder(first);
      await conversation.call('prepare', late);
      await conversation.call('prepare', early);
      for (const order of [late, early]) await conversation.call('release', releaseOrder(order));
    },
  },
];
