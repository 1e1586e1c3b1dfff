/** JSON-RPC: every request is answered once, whatever it is. */
import fc from 'fast-check';
import { driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import { demandRefusal } from '../conversation.ts';
import { demand } from '../failures.ts';
import type { Kit, Trial } from '../kit.ts';
import { kitLimits } from '../limits.ts';
import { demandAlive } from './framing.ts';

const methodNotFound = -32_601;
const invalidParams = -32_602;
/** For a second answer to come, where one comes. */
const settleMs = 50;
const wrongParamsRuns = 40;

export const rpc: readonly Trial[] = [
  {
    clause: 'D-RPC-1',
    run: async (kit) => {
      const conversation = await kit.calm();
      for (let count = 0; count < 10; count += 1) await demandAlive(conversation);
      await kit.clock.sleep(settleMs);
      await demandAlive(conversation);
    },
  },
  {
    clause: 'D-RPC-2',
    run: async (kit) => {
      const conversation = await kit.calm();
      for (const method of ['driver-test/unknown', 'toString', '$/unknown']) {
        const answer = await conversation.attempt(method, {});
        demandRefusal(answer, [methodNotFound], `the unknown request ${method}`);
      }
      await demandAlive(conversation);
    },
  },
  {
    clause: 'D-RPC-3',
    run: async (kit) => {
      const conversation = await kit.calm();
      conversation.notify('driver-test/unknown', { a: 1 });
      conversation.notify('$/driver-test', {});
      conversation.notify('discover', { backend: kit.anyBackend().name });
      await kit.clock.sleep(settleMs);
      await demandAlive(conversation);
    },
  },
  {
    clause: 'D-RPC-4',
    needs: ['D-RPC-1', 'D-DISC-1'],
    run: async (kit) => {
      const right = await rightParams(kit);
      const conversation = await kit.calm();
      const anything = fc.constantFrom<unknown>(7, null, true, [], { not: 'this' }, undefined);
      const wrong = fc
        .constantFrom(...right)
        .chain(([method, params]) =>
          fc.tuple(
            fc.constant(method),
            fc.constant(params),
            fc.constantFrom(...Object.keys(params)),
            anything,
          ),
        );
      await fc.assert(
        fc.asyncProperty(wrong, async ([method, params, key, value]) => {
          if (typeof value === typeof params[key]) return; // by chance of the right type
          const sent = { ...params, [key]: value };
          const answer = await conversation.attempt(method, sent);
          const what = `${method} with ${key} = ${JSON.stringify(value) ?? 'nothing'}`;
          demandRefusal(answer, [invalidParams, driverErrorCodes.invalid], what);
        }),
        { numRuns: wrongParamsRuns, seed: kit.seed },
      );
      await demandAlive(conversation);
    },
  },
  {
    clause: 'D-RPC-5',
    needs: ['D-FRAME-2', 'D-RPC-1', 'D-DISC-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const backends = kit.subject.backends.map(({ name }) => name);
      const asked = [...backends, ...backends].flatMap((backend) => [
        conversation.ask('discover', { backend }),
        conversation.ask('uninstall', { backend: 'driver-test/nobody', dry_run: true }),
        conversation.ask('driver-test/unknown', {}),
      ]);
      for (const one of asked) {
        await conversation.answerOf(
          one,
          `request ${one.id}, sent with ${asked.length - 1} others,`,
        );
      }
    },
  },
  {
    clause: 'D-RPC-6',
    needs: ['D-RPC-3', 'D-RPC-5'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const { name: backend } = kit.anyBackend();
      for (const pauseMs of [0, 1, 5, 20]) {
        const asked = conversation.ask('discover', { backend });
        if (pauseMs > 0) await kit.clock.sleep(pauseMs);
        conversation.notify('$/cancelRequest', { id: asked.id });
        await conversation.answerOf(asked, 'a cancelled discover', kitLimits.cancelMsMax);
        conversation.notify('$/cancelRequest', { id: asked.id });
      }
      conversation.notify('$/cancelRequest', { id: 1_000_000 });
      await demandAlive(conversation);
      const { devices } = await conversation.call('discover', { backend });
      demand(Array.isArray(devices), () => 'no inventory after a cancelled discover');
    },
  },
  {
    clause: 'D-RPC-7',
    run: async (kit) => {
      const conversation = await kit.calm();
      await conversation.attempt('driver-test/unknown', {});
      await conversation.attempt('discover', { backend: 'driver-test/nobody' });
      await conversation.attempt('discover', {});
    },
  },
];

/** Requests with right parameters, to be made wrong. None of them would change anything. */
async function rightParams(kit: Kit): Promise<[method: string, params: Record<string, unknown>][]> {
  const { name, kind, config } = kit.anyBackend();
  const conversation = await kit.calm();
  const { devices } = await conversation.call('discover', { backend: name });
  const accelerator = devices[0]?.deployables[0]?.accelerators[0]?.key ?? 'none';
  const target = { backend: name, accelerator, epoch: kit.nextEpoch() };
  return [
    ['discover', { backend: name }],
    ['install', { backend: { name, kind, config }, dry_run: true }],
    ['uninstall', { backend: name, dry_run: true }],
    ['prepare', { ...target, attachment: 'a', instance: 'i', plugs: [] }],
    ['release', { ...target, attachment: 'a' }],
    ['clean', target],
  ];
}
