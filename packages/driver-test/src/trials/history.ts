/** Any order of anything, as crashes of agent and host make it; and a long life. */
import fc from 'fast-check';
import { driverErrorName } from '@cyborg/driver-sdk/errors';
import { messageOf } from '@cyborg/service/node-error';
import type { Conversation } from '../conversation.ts';
import { Broken, demand } from '../failures.ts';
import { releaseOrder, type Kit, type PrepareOrder, type Target, type Trial } from '../kit.ts';
import { kitLimits } from '../limits.ts';

type Act = 'prepare' | 'release' | 'clean' | 'discover' | 'install';
type Step =
  | { readonly is: Act; readonly target: number; readonly isCancelled: boolean }
  | { readonly is: 'restart' }
  | { readonly is: 'burst'; readonly acts: readonly Act[] };

const act = fc.constantFrom<Act>('prepare', 'release', 'clean', 'discover', 'install');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      is: act,
      target: fc.nat(kitLimits.targetsMax - 1),
      isCancelled: fc.integer({ min: 0, max: 5 }).map((one) => one === 0),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      is: fc.constant('burst' as const),
      acts: fc.array(act, { minLength: 2, maxLength: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ is: 'restart' }) },
);

export const history: readonly Trial[] = [
  {
    clause: 'D-HIST-1',
    needs: ['D-PREP-2', 'D-REL-3', 'D-RPC-6', 'D-KILL-1', 'D-HIST-2'],
    run: async (kit) => {
      const targets = await kit.targets();
      const property = fc.asyncProperty(
        fc.array(step, { minLength: 4, maxLength: kitLimits.historyStepsMax }),
        async (steps) => new History(kit, targets).run(steps),
      );
      const details = await fc.check(property, {
        numRuns: kitLimits.historyRuns,
        seed: kit.seed,
        interruptAfterTimeLimit: kitLimits.historyMsMax,
        markInterruptAsFailure: false,
      });
      const [steps] = details.counterexample ?? [];
      const why = messageOf(details.errorInstance);
      demand(steps === undefined, () => `after ${(steps ?? []).map(tell).join(', ')}: ${why}`);
    },
  },
  {
    clause: 'D-HIST-2',
    needs: ['D-PREP-1', 'D-REL-1', 'D-CLEAN-2'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const target = await kit.target();
      for (let round = 1; round <= kitLimits.rounds; round += 1) {
        const order = kit.prepareOrder(target);
        try {
          await conversation.call('prepare', order);
          await conversation.call('release', releaseOrder(order));
          await conversation.call('clean', kit.order(target));
        } catch (error) {
          throw new Broken(`round ${round}: ${messageOf(error)}`);
        }
      }
    },
  },
];

function tell(one: Step): string {
  if (one.is === 'restart') return 'restart';
  if (one.is === 'burst') return `${one.acts.join(' and ')} at once`;
  return `${one.isCancelled ? 'cancelled ' : ''}${one.is} of ${one.target}`;
}

/** One history on the process that the trials share. */
class History {
  readonly #kit: Kit;
  readonly #targets: readonly Target[];

  constructor(kit: Kit, targets: readonly Target[]) {
    this.#kit = kit;
    this.#targets = targets;
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const one of steps) await this.#step(one);
    const conversation = await this.#kit.calm();
    for (const target of this.#targets) {
      const order = this.#kit.prepareOrder(target);
      await conversation.call('release', releaseOrder(order));
      await conversation.call('clean', this.#kit.order(target));
      const next = this.#kit.prepareOrder(target);
      await conversation.call('prepare', next);
      await conversation.call('release', releaseOrder(next));
    }
  }

  async #step(one: Step): Promise<void> {
    const conversation = await this.#kit.calm();
    if (one.is === 'restart') return conversation.kill('a history restarts it');
    if (one.is === 'burst') {
      // An agent never has two acts on one accelerator under way: each is another's.
      const acts = one.acts.slice(0, this.#targets.length);
      await Promise.all(acts.map(async (name, index) => this.#act(conversation, name, index)));
      return;
    }
    await this.#act(conversation, one.is, one.target, one.isCancelled);
  }

  async #act(
    conversation: Conversation,
    name: Act,
    ...[index, isCancelled = false]: readonly [index: number, isCancelled?: boolean]
  ): Promise<void> {
    const target = this.#targets[index % this.#targets.length];
    if (target === undefined) return;
    const asked = conversation.ask(name, this.#paramsOf(name, target));
    if (isCancelled) conversation.notify('$/cancelRequest', { id: asked.id });
    const answer = await conversation.answerOf(asked, name);
    if ('result' in answer) {
      conversation.parse(name, answer.result);
      return;
    }
    const { code, message } = answer.error;
    // A cancelled request may be refused with any code; the others only as the protocol says.
    if (isCancelled || driverErrorName(code) !== undefined) return;
    throw new Broken(`${name} of ${target.accelerator.key} failed with ${code}: ${message}`);
  }

  #paramsOf(name: Act, target: Target): unknown {
    const order: PrepareOrder = this.#kit.prepareOrder(target);
    const { backend, accelerator, epoch } = order;
    const spec = this.#kit.subject.backends.find((one) => one.name === backend);
    const params = {
      prepare: order,
      release: releaseOrder(order),
      clean: { backend, accelerator, epoch },
      discover: { backend },
      install: { backend: spec, dry_run: false },
    } as const satisfies Record<Act, object>;
    return params[name];
  }
}
