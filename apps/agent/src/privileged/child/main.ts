/** The process of one privileged act: looks at the host once more, acts, answers, ends. */
import process from 'node:process';
import type { ActDone, ActOrder, ActQuestion, FromChild, ToChild } from '../act-order.ts';
import type { ActStep } from '../../steps.ts';
import { adopt } from './adopt.ts';
import { bindAgain, makeVfsAgain } from './again.ts';
import { bind, restore, unbind } from './bind.ts';
import { HostView } from './host-view.ts';
import { makeMdev, removeMdev } from './mdev.ts';
import { RefusedAct, toFailure } from './refused-act.ts';
import { lengthenAgain, reset } from './reset.ts';
import { probeAgain, setVfCount } from './vfs.ts';

type Act = (host: HostView) => Promise<ActDone>;

const acts: Readonly<Record<string, Act>> = {
  bind,
  unbind,
  restore,
  reset,
  setVfCount,
  probeAgain,
  lengthenAgain,
  adopt,
  bindAgain,
  makeVfsAgain,
  makeMdev,
  removeMdev,
};

let waiting: PromiseWithResolvers<unknown> | undefined;

async function ask(question: ActQuestion): Promise<unknown> {
  waiting = Promise.withResolvers();
  send({ question });
  return await waiting.promise;
}

async function perform(order: ActOrder): Promise<FromChild> {
  try {
    const act = acts[order.method];
    if (act === undefined) throw new RefusedAct('unsupported', `There is no act ${order.method}.`);
    const enter = (step: ActStep): void => send({ step });
    return { done: await act(new HostView(order, { ask, enter })) };
  } catch (error) {
    return { failed: toFailure(error) };
  }
}

function send(message: FromChild): void {
  process.send?.(message);
}

process.on('message', (message) => {
  const said = message as ToChild; // the parent is our own code
  if ('order' in said) void perform(said.order).then(send);
  else if ('reply' in said) waiting?.resolve(said.reply);
  else waiting?.reject(new RefusedAct('transient', said.refusal));
});
process.on('disconnect', () => process.exit(0));
