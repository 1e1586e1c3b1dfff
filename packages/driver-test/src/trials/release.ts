/** Giving back: `release` and `clean`, by whichever process is there. */
import { driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import { demandRefusal } from '../conversation.ts';
import { demand } from '../failures.ts';
import { releaseOrder, type Trial } from '../kit.ts';

export const release: readonly Trial[] = [
  {
    clause: 'D-REL-1',
    needs: ['D-PREP-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      for (const target of await kit.targets()) {
        const never = kit.prepareOrder(target);
        await conversation.call('release', releaseOrder(never));
        const order = kit.prepareOrder(target);
        await conversation.call('prepare', order);
        await conversation.call('release', releaseOrder(order));
        await conversation.call('release', releaseOrder(order));
      }
    },
  },
  {
    clause: 'D-REL-2',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const order = { ...kit.prepareOrder(await kit.target()), accelerator: 'driver-test/gone' };
      const answer = await conversation.attempt('release', releaseOrder(order));
      if ('result' in answer) conversation.parse('release', answer.result);
      else demandRefusal(answer, [driverErrorCodes.gone], 'release of what is not there');
    },
  },
  {
    clause: 'D-REL-3',
    needs: ['D-DISC-3', 'D-PREP-1', 'D-REL-1', 'D-CLEAN-1'],
    run: async (kit) => {
      const conversation = await kit.fresh();
      const orders = (await kit.targets()).map((target) => kit.prepareOrder(target));
      for (const order of orders) await conversation.call('prepare', order);
      await conversation.kill('it had prepared accelerators');
      const other = await kit.fresh();
      for (const order of orders) {
        await other.call('release', releaseOrder(order));
        const { backend, accelerator, epoch } = order;
        await other.call('clean', { backend, accelerator, epoch });
      }
      await other.leave();
    },
  },
  {
    clause: 'D-CLEAN-1',
    needs: ['D-PREP-1', 'D-REL-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      for (const target of await kit.targets()) {
        for (let count = 0; count < 2; count += 1) {
          const { evidence } = await conversation.call('clean', kit.order(target));
          const isTelling = evidence.length > 0 && evidence.every((line) => line.trim() !== '');
          demand(isTelling, () => `clean of ${target.accelerator.key} gave no evidence`);
        }
      }
    },
  },
  {
    clause: 'D-CLEAN-2',
    needs: ['D-CLEAN-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      for (const target of await kit.targets()) {
        const plans: string[] = [];
        for (let count = 0; count < 2; count += 1) {
          const order = kit.prepareOrder(target);
          const { plan } = await conversation.call('prepare', order);
          plans.push(plan.kind);
          await conversation.call('release', releaseOrder(order));
          await conversation.call('clean', kit.order(target));
        }
        const [first, second] = plans;
        const { key } = target.accelerator;
        demand(first === second, () => `${key} had plan ${first}, and ${second} after a clean`);
      }
    },
  },
];
