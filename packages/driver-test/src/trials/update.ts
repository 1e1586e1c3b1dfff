/** Firmware and programs: what is written into a card, by drivers that announce it. */
import { driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import type { DriverParams } from '@cyborg/driver-sdk/protocol';
import { demandRefusal, type Asked, type Conversation } from '../conversation.ts';
import { Broken, demand, Untested } from '../failures.ts';
import { releaseOrder, type Kit, type Target, type Trial } from '../kit.ts';
import { kitLimits } from '../limits.ts';
import { capabilitiesOf } from './limits.ts';

/** Into the middle of a write that takes no time to speak of. */
const pausesMs = [0, 3, 20];
/** For what comes after an answer, where something comes. */
const settleMs = 50;
const { invalid, unsupported, 'host-use': hostUse } = driverErrorCodes;

type Moment = number | 'progress';
type UpdateParams = DriverParams<'update'>;

function updateOrder(kit: Kit, target: Target): UpdateParams {
  const { image, imageSha256: sha256 } = kit.subject;
  return { ...kit.order(target), image, sha256 };
}

async function write(kit: Kit, conversation: Conversation, target: Target): Promise<void> {
  await conversation.call('update', updateOrder(kit, target), kitLimits.updateMsMax);
}

/** One that takes the kit's image. @throws Untested when there is none. */
async function writable(kit: Kit): Promise<Target> {
  if (!(await capabilitiesOf(kit)).includes('update')) throw new Untested('it announces no update');
  const conversation = await kit.calm();
  const refusals = new Set<string>();
  for (const target of await kit.targets()) {
    const params = updateOrder(kit, target);
    const answer = await conversation.attempt('update', params, kitLimits.updateMsMax);
    if ('result' in answer) {
      conversation.parse('update', answer.result);
      return target;
    }
    const { code, message } = answer.error;
    if (code !== unsupported && code !== invalid) throw new Broken(`${code} ${message}`, 'D-UPD-1');
    refusals.add(message);
  }
  const why = [...refusals].join('; ');
  throw new Untested(`no card takes the kit's image (${why}): give one that they take (--image)`);
}

/** After so many ms, or as soon as the driver says that it writes, or has written. */
async function comesTo(
  kit: Kit,
  { conversation, asked, moment }: { conversation: Conversation; asked: Asked; moment: Moment },
): Promise<void> {
  if (moment !== 'progress') return await kit.clock.sleep(moment);
  const before = conversation.progress.length;
  let isAnswered = false;
  const answered = conversation.answerOf(asked, 'update', kitLimits.updateMsMax).finally(() => {
    isAnswered = true;
  });
  answered.catch(() => undefined); // it is about to be killed
  while (!isAnswered && conversation.progress.length === before) await kit.clock.sleep(1);
}

export const update: readonly Trial[] = [
  {
    clause: 'D-UPD-1',
    needs: ['D-PREP-1', 'D-REL-1', 'D-DISC-3'],
    run: async (kit) => {
      const target = await writable(kit);
      await write(kit, await kit.calm(), target);
      for (const moment of [...pausesMs, 'progress'] as const) {
        const conversation = await kit.calm();
        const asked = conversation.ask('update', updateOrder(kit, target));
        await comesTo(kit, { conversation, asked, moment });
        await conversation.kill('killed while it wrote an image');
        const next = await kit.calm();
        await next.call('discover', { backend: target.backend });
        await write(kit, next, target);
      }
      const conversation = await kit.calm();
      const order = kit.prepareOrder(target);
      await conversation.call('prepare', order);
      await conversation.call('release', releaseOrder(order));
    },
  },
  {
    clause: 'D-UPD-2',
    needs: ['D-UPD-1'],
    run: async (kit) => {
      const target = await writable(kit);
      const conversation = await kit.calm();
      const before = conversation.progress.length;
      await write(kit, conversation, target);
      const said = conversation.progress.slice(before);
      await kit.clock.sleep(settleMs);
      demand(
        conversation.progress.length === before + said.length,
        () => 'updateProgress came after the answer',
      );
      let last = 0;
      for (const { backend, accelerator, percent } of said) {
        demand(
          backend === target.backend && accelerator === target.accelerator.key,
          () => `updateProgress names ${String(backend)} ${String(accelerator)}`,
        );
        demand(
          typeof percent === 'number' && percent >= last,
          () => `updateProgress went from ${last} to ${String(percent)} percent`,
        );
        last = percent;
      }
      if (said.length === 0)
        throw new Untested('it told no progress, and need not when it is quick');
    },
  },
  {
    clause: 'D-UPD-3',
    needs: ['D-UPD-1'],
    run: async (kit) => {
      const target = await writable(kit);
      const conversation = await kit.calm();
      const { backend } = target;
      const before = JSON.stringify(await conversation.call('discover', { backend }));
      const wrong = { sha256: '0'.repeat(64) };
      const missing = { image: `${kit.subject.image}-that-is-not-there` };
      for (const [change, what] of [
        [wrong, 'update with an image of another SHA-256'],
        [missing, 'update with an image that is not there'],
      ] as const) {
        const params = { ...updateOrder(kit, target), ...change };
        const answer = await conversation.attempt('update', params, kitLimits.updateMsMax);
        demandRefusal(answer, [invalid], what);
      }
      const after = JSON.stringify(await conversation.call('discover', { backend }));
      demand(after === before, () => `a refused image changed the inventory: ${after}`);
    },
  },
  {
    clause: 'D-UPD-4',
    needs: ['D-UPD-1'],
    run: async (kit) => {
      const target = await writable(kit);
      const conversation = await kit.calm();
      const order = kit.prepareOrder(target);
      await conversation.call('prepare', order);
      const params = updateOrder(kit, target);
      const answer = await conversation.attempt('update', params, kitLimits.updateMsMax);
      demandRefusal(answer, [hostUse], 'update of what is prepared');
      await conversation.call('release', { ...releaseOrder(order), epoch: kit.nextEpoch() });
      await write(kit, conversation, target);
    },
  },
  {
    clause: 'D-UPD-5',
    needs: ['D-UPD-1', 'D-RPC-6'],
    run: async (kit) => {
      const target = await writable(kit);
      const conversation = await kit.calm();
      for (const pauseMs of pausesMs) {
        const asked = conversation.ask('update', updateOrder(kit, target));
        await kit.clock.sleep(pauseMs);
        conversation.notify('$/cancelRequest', { id: asked.id });
        await conversation.answerOf(asked, 'a cancelled update', kitLimits.cancelMsMax);
        await write(kit, conversation, target);
      }
    },
  },
];
