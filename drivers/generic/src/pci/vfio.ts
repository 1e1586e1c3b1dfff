/** What is done to a real function for a guest and after it. The agent does it and checks; here is what is asked for. */
import { readlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { BackendContext } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan, DriverAccelerator } from '@cyborg/driver-sdk/protocol';
import { ScanProcess } from '@cyborg/driver-sdk/scan-process';
import type { Handling, Handlings } from './handling.ts';
import { requireSameFunction } from './same-function.ts';
import { askBound } from './scanner.ts';
import type { VerifyInput, VerifyOutput } from './verify.ts';

type Context = Omit<BackendContext<unknown>, 'config'>;

const vfioDriver = 'vfio-pci';
const plain: Handling = { mayUnbind: false, isVirtual: false, keepsData: false };

export async function makeReady(
  context: Context,
  plan: AttachPlan,
  { accelerator, handlings }: { accelerator: DriverAccelerator; handlings: Handlings },
): Promise<void> {
  if (plan.kind === 'mdev') {
    const { parent: address, type, uuid } = plan;
    await context.ask('makeMdev', { address, type, uuid });
    context.inventoryChanged();
    return;
  }
  if (plan.kind !== 'pci') return;
  const { address } = plan;
  await requireSameFunction(context, address, handlings);
  await bindGroup(context, { address, others: accelerator.group_members ?? [], handlings });
  context.inventoryChanged();
}

interface BindWish {
  readonly address: string;
  /** Functions of its IOMMU group. */
  readonly others: readonly string[];
  readonly handlings: Handlings;
}

async function bindGroup(
  context: Context,
  { address, others, handlings }: BindWish,
): Promise<void> {
  const unbind = [address, ...others].filter((member) => handlings[member]?.mayUnbind === true);
  const parameters = { address, kernel_driver: vfioDriver };
  await context.ask('bind', unbind.length > 0 ? { ...parameters, unbind } : parameters);
}

/** Back with a driver of the host, by libvirt's doing or a restart: a reset below that would leave both confused. */
async function takeFromHost(context: Context, wish: BindWish): Promise<void> {
  const link = join(context.roots.sysfs, 'bus/pci/devices', wish.address, 'driver');
  const driver = await readlink(link).catch(() => undefined);
  if (driver !== undefined && !basename(driver).includes('vfio')) await bindGroup(context, wish);
}

/** A function stays on vfio-pci until it is clean: no driver of the host is to meet what a guest left in it. */
export async function takeBack(context: Context, plan: AttachPlan | undefined): Promise<void> {
  if (plan?.kind !== 'mdev') return;
  await context.ask('removeMdev', { address: plan.parent, uuid: plan.uuid });
  context.inventoryChanged();
}

export interface CleanWish {
  readonly plan: AttachPlan;
  readonly accelerator: DriverAccelerator;
  readonly handlings: Handlings;
  /** The agent knows for certain that no guest had it since it was clean. */
  readonly isNeverGiven: boolean;
  /** Why an operator accepts that it is given out without a reset. */
  readonly operatorReason: string | undefined;
}

export class Cleaner {
  readonly #module: URL;
  #verify: ScanProcess<VerifyInput, VerifyOutput> | undefined;

  /** @param module  what looks at a function; one of a test may hang where a file of a tree does not */
  constructor(module = new URL('./verify.ts', import.meta.url)) {
    this.#module = module;
  }

  async clean(context: Context, wish: CleanWish): Promise<string[]> {
    const { plan, handlings } = wish;
    if (plan.kind === 'mdev') {
      await takeBack(context, plan);
      return [`mediated device ${plan.uuid} was removed; the next holder gets a new one`];
    }
    if (plan.kind !== 'pci') return [];
    const { address } = plan;
    await requireSameFunction(context, address, handlings);
    const handling = handlings[address] ?? plain;
    const wiped = await wipe(context, { ...wish, address, handling });
    const isUntouched = isUntouchedBy(wish);
    const verified = await this.#verifyFunction(context, { address, handling, isUntouched });
    const { kept_for: keptFor = [] } = await context.ask('restore', { address });
    context.inventoryChanged();
    const end =
      keptFor.length === 0 ? 'put back as it was found' : `kept with ${keptFor.join(', ')}`;
    return [...wiped, ...verified, end];
  }

  close(): void {
    this.#verify?.close();
  }

  async #verifyFunction(
    context: Context,
    { address, handling, isUntouched }: FunctionToVerify,
  ): Promise<string[]> {
    const folder = `${context.roots.sysfs}/bus/pci/devices/${address}`;
    const { isVirtual } = handling;
    const verify = (this.#verify ??= new ScanProcess({ module: this.#module }));
    const input = { folder, isVirtual, isUntouched };
    const found = await verify.run(input, { signal: context.signal });
    if ('evidence' in found) return found.evidence;
    const silent = verify.blockedPaths.find((path) => path.startsWith(`${folder}/`));
    if (silent !== undefined) {
      // That one asks no more for what did not answer once, and a card may only have been slow to wake.
      if (this.#verify === verify) this.#verify = undefined;
      const message = `${silent} does not answer: whether ${address} is clean is unknown.`;
      throw new DriverError('transient', message);
    }
    throw new DriverError('unsupported', `${address} is not clean: ${found.problem}`);
  }
}

interface FunctionToVerify {
  readonly address: string;
  readonly handling: Handling;
  readonly isUntouched: boolean;
}

/** A guest that had another of its group may have written into this one. */
function isUntouchedBy({ isNeverGiven, accelerator }: CleanWish): boolean {
  return isNeverGiven && (accelerator.group_members ?? []).length === 0;
}

interface ResetWish {
  readonly address: string;
  readonly handling: Handling;
  readonly operatorReason: string | undefined;
}

/** What a guest may have left in it. */
async function wipe(context: Context, wish: ResetWish & CleanWish): Promise<string[]> {
  if (isUntouchedBy(wish)) return ['no guest had it since it was clean: nothing to reset'];
  const { accelerator, address, handlings } = wish;
  await takeFromHost(context, { address, others: accelerator.group_members ?? [], handlings });
  const reset = await resetOrReason(context, wish);
  return [reset, ...keptData(wish)];
}

async function resetOrReason(context: Context, wish: ResetWish): Promise<string> {
  const { address, handling, operatorReason } = wish;
  const { resetMethods } = handling;
  const methods = resetMethods === undefined ? {} : { methods: [...resetMethods] };
  try {
    const { method } = await context.ask('reset', { address, ...methods });
    return method === undefined ? 'reset' : `reset by ${method}`;
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    const refusals = [error.message];
    try {
      if (await hasResetBus(context, { address, handling }, refusals)) {
        return 'reset by bus, with all that is behind its bridge';
      }
    } catch (failure) {
      // It may pass; who accepts that nothing is reset need not wait for that.
      if ((operatorReason ?? handling.resetless) === undefined) throw failure;
      if (!(failure instanceof DriverError)) throw failure;
      refusals.push(failure.message);
    }
    return acceptedReset(wish, refusals.join(' '), error);
  }
}

/** The last resort: what shares the bus is reset, too, so the agent refuses it unless nobody has that. */
async function hasResetBus(
  context: Context,
  { address, handling: { resetMethods } }: Pick<ResetWish, 'address' | 'handling'>,
  refusals: string[],
): Promise<boolean> {
  if (resetMethods !== undefined && !resetMethods.includes('bus')) return false;
  if (await isOnRootBus(context, address)) return false;
  try {
    await context.ask('reset', { address, scope: 'bus' });
    return true;
  } catch (error) {
    if (!isUnsupported(error) && !isHostUse(error)) throw error;
    refusals.push(error.message);
    return false;
  }
}

/** Nothing resets that one: the agent need not be asked. */
async function isOnRootBus({ roots }: Context, address: string): Promise<boolean> {
  const link = await readlink(join(roots.sysfs, 'bus/pci/devices', address)).catch(() => '');
  return /^pci[0-9a-f]{4,8}:[0-9a-f]{2}$/u.test(basename(dirname(link)));
}

/** @throws DriverError when nobody accepts that it was not reset. */
function acceptedReset(
  { handling, operatorReason }: ResetWish,
  refusal: string,
  cause: unknown,
): string {
  const reason = operatorReason ?? handling.resetless;
  if (reason !== undefined) return `not reset (${refusal}): accepted, ${reason}`;
  throw new DriverError(
    'unsupported',
    `${refusal} Accept that with resetless in its rule, or accelerator-update --resetless-reason.`,
    { cause },
  );
}

function isUnsupported(error: unknown): error is DriverError {
  return error instanceof DriverError && error.code === 'unsupported';
}

function isHostUse(error: unknown): error is DriverError {
  return error instanceof DriverError && error.code === 'host-use';
}

/** @throws DriverError for a drive whose data nobody accepts. */
function keptData({ address, handling, operatorReason }: ResetWish): string[] {
  if (!handling.keepsData) return [];
  const reason = operatorReason ?? handling.resetless;
  if (reason !== undefined) return [`what was written to it was not erased: accepted, ${reason}`];
  throw new DriverError(
    'unsupported',
    `${address} keeps what was written to it, and this version does not erase it: erase it yourself and say so with accelerator-update --state available --reason, or accept it with resetless in its rule.`,
  );
}

/**
 * Before a backend goes: nothing of the host stays taken, also what only the agent remembers, as after a restart of this
 * driver. What a guest still has stays its own, and what is not clean stays where no driver of the host meets it.
 */
export async function giveAllBack(context: Context, known: Iterable<string>): Promise<void> {
  const bound = await askBound(context);
  for (const address of new Set([...known, ...bound.map((one) => one.address)])) {
    try {
      await context.ask('restore', { address });
    } catch (error) {
      if (error instanceof DriverError && error.code === 'invalid') continue; // another backend's
      const why = error instanceof Error ? error.message : String(error);
      context.log('warn', `${address} stays as it is: ${why}`);
    }
  }
}
