/** What may be broken at any time and is watched all along: sizes, rates, notifications, questions, optional requests. */
import { driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import type { InitializeResult } from '@cyborg/driver-sdk/protocol';
import { demandRefusal } from '../conversation.ts';
import { demand, Untested } from '../failures.ts';
import { releaseOrder, type Kit, type Trial } from '../kit.ts';
import { kitLimits } from '../limits.ts';
import { demandAlive } from './framing.ts';

const methodNotFound = -32_601;
const optional = ['update', 'stats', 'health'] as const;

/** A round of everything, for what is watched. */
async function lookAround(kit: Kit): Promise<void> {
  const conversation = await kit.calm();
  await kit.discoverAll(conversation);
  await demandAlive(conversation);
}

export async function capabilitiesOf(kit: Kit): Promise<InitializeResult['capabilities']> {
  const { conversation, launched } = await kit.subject.start();
  const greeting = kit.subject.greeting(launched);
  const said = await conversation.call('initialize', greeting, kitLimits.initializeMsMax);
  await conversation.leave();
  return said.capabilities;
}

export const limits: readonly Trial[] = [
  { clause: 'D-LIM-1', needs: ['D-DISC-1'], run: lookAround },
  { clause: 'D-LIM-2', needs: ['D-DISC-1'], run: lookAround },
  { clause: 'D-LIM-3', needs: ['D-DISC-1'], run: lookAround },
  {
    clause: 'D-NOTE-1',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      await lookAround(kit);
      if ((await kit.calm()).notifications === 0) {
        throw new Untested('it sent no notification, and need not');
      }
    },
  },
  {
    clause: 'D-ASK-1',
    needs: ['D-DISC-1'],
    run: async (kit) => {
      await lookAround(kit);
      const { asks } = await kit.calm();
      if (asks === 0) throw new Untested('it asked the agent for nothing, and need not');
    },
  },
  {
    clause: 'D-ASK-2',
    needs: ['D-ASK-1', 'D-DISC-1'],
    run: async (kit) => {
      let asks = 0;
      for (const answers of ['refuse', 'unknown'] as const) {
        const { conversation, launched } = await kit.subject.start();
        conversation.agentAnswers = answers;
        await kit.greet(conversation, launched, { install: false });
        for (const { name } of kit.subject.backends) {
          await conversation.attempt('discover', { backend: name });
        }
        for (const target of await kit.targets()) {
          const order = kit.prepareOrder(target);
          await conversation.attempt('prepare', order);
          await conversation.attempt('release', releaseOrder(order));
        }
        await demandAlive(conversation);
        asks += conversation.asks;
        await conversation.leave();
      }
      if (asks === 0) throw new Untested('it asked the agent for nothing');
    },
  },
  {
    clause: 'D-OPT-1',
    needs: ['D-INIT-1', 'D-DISC-1'],
    run: async (kit) => {
      const announced = await capabilitiesOf(kit);
      const asked = (['stats', 'health'] as const).filter((name) => announced.includes(name));
      if (asked.length === 0) throw new Untested('it announces neither stats nor health');
      const conversation = await kit.calm();
      let answered = 0;
      for (const method of asked) {
        for (const { name: backend } of kit.subject.backends) {
          const answer = await conversation.attempt(method, { backend });
          if ('result' in answer) conversation.parse(method, answer.result);
          else demandRefusal(answer, [driverErrorCodes.unsupported], `${method} of ${backend}`);
          answered += 'result' in answer ? 1 : 0;
        }
      }
      demand(answered > 0, () => `${asked.join(' and ')} are announced, and no backend has them`);
    },
  },
  {
    clause: 'D-OPT-2',
    needs: ['D-INIT-1', 'D-DISC-1'],
    run: async (kit) => {
      const announced = await capabilitiesOf(kit);
      const missing = optional.filter((name) => !announced.includes(name));
      if (missing.length === 0) throw new Untested('it has every capability');
      const conversation = await kit.calm();
      const target = await kit.target();
      const { backend } = target;
      const image = { image: '/nonexistent', sha256: '0'.repeat(64) };
      for (const method of missing) {
        const params = method === 'update' ? { ...kit.order(target), ...image } : { backend };
        const answer = await conversation.attempt(method, params);
        const codes = [driverErrorCodes.unsupported, methodNotFound];
        demandRefusal(answer, codes, `${method}, which it did not announce,`);
      }
    },
  },
];
