/** Ends: in good order, without a word, and in the middle. */
import { messageOf } from '@cyborg/service/node-error';
import type { Conversation, Exit } from '../conversation.ts';
import { Broken, demand } from '../failures.ts';
import { encodeFrame } from '../frames.ts';
import { releaseOrder, type Kit, type Trial } from '../kit.ts';
import { kitLimits } from '../limits.ts';

type Request = readonly [method: string, params: unknown];
type Moment = 'sent' | 'busy' | 'answered';
/** About the middle of a quick answer. */
const busyMs = 3;

/** @throws Broken when the process is still there. */
async function exitOf(kit: Kit, conversation: Conversation, after: string): Promise<Exit> {
  const waiting = new AbortController();
  const late = kit.clock.sleep(kitLimits.endMsMax, waiting.signal).then(() => undefined);
  late.catch(() => undefined);
  const exit = await Promise.race([conversation.exited, late]);
  waiting.abort();
  if (exit !== undefined) return exit;
  await conversation.kill(`it went on after ${after}`);
  throw new Broken(`${kitLimits.endMsMax / 1000} s after ${after} the process is still there`);
}

export const ending: readonly Trial[] = [
  {
    clause: 'D-KILL-1',
    needs: ['D-REL-3'],
    run: async (kit) => {
      const target = await kit.target();
      const order = kit.prepareOrder(target);
      const { backend, accelerator, epoch } = order;
      const spec = kit.anyBackend();
      const requests: Request[] = [
        ['install', { backend: spec, dry_run: false }],
        ['discover', { backend }],
        ['prepare', order],
        ['release', releaseOrder(order)],
        ['clean', { backend, accelerator, epoch }],
      ];
      await killInGreeting(kit);
      for (const [method, params] of requests) {
        for (const moment of ['sent', 'busy', 'answered'] as const) {
          await killDuring(kit, [method, params], moment);
        }
      }
    },
  },
  {
    clause: 'D-END-1',
    needs: ['D-INIT-1'],
    run: async (kit) => {
      const conversation = await kit.fresh();
      await conversation.call('shutdown', {}, kitLimits.endMsMax);
      const { status, signal } = await exitOf(kit, conversation, 'shutdown');
      demand(status === 0, () => `after shutdown it ended with ${signal ?? `status ${status}`}`);
    },
  },
  {
    clause: 'D-END-2',
    needs: ['D-INIT-1'],
    run: async (kit) => {
      const idle = await kit.fresh();
      idle.closeInput();
      await exitOf(kit, idle, 'its stdin was closed');
      const reading = await kit.fresh();
      const frame = encodeFrame({ jsonrpc: '2.0', id: 1000, method: 'shutdown', params: {} });
      reading.sendBytes(frame.subarray(0, frame.length - 5));
      reading.closeInput();
      await exitOf(kit, reading, 'its stdin was closed in the middle of a frame');
    },
  },
];

async function killInGreeting(kit: Kit): Promise<void> {
  for (const pauseMs of [0, 20, 100]) {
    const { conversation, launched } = await kit.subject.start();
    conversation.ask('initialize', kit.subject.greeting(launched));
    await kit.clock.sleep(pauseMs);
    await conversation.kill('killed in initialize');
  }
}

/** One process after the other: each is killed while it does what the last one was killed for, after it has done it. */
async function killDuring(kit: Kit, [method, params]: Request, moment: Moment): Promise<void> {
  const when = moment === 'answered' ? `after ${method}` : `during ${method} (${moment})`;
  const conversation = await kit.calm();
  const asked = conversation.ask(method, params);
  if (moment === 'busy') await kit.clock.sleep(busyMs);
  if (moment === 'answered') await conversation.answerOf(asked, method);
  await conversation.kill(`killed ${when}`);
  try {
    const next = await kit.calm();
    const answer = await next.attempt(method, params);
    if ('error' in answer) throw new Broken(`${answer.error.code} ${answer.error.message}`);
  } catch (error) {
    throw new Broken(`killed ${when}, the next process did not do it: ${messageOf(error)}`);
  }
}
