/** An accelerator request (ARQ) is a view of an attachment: which state, and which handle, v2's clients see. */
import type { AttachmentState } from '../attachment-lifecycle.ts';

export type ArqState = 'Initial' | 'BindStarted' | 'Bound' | 'BindFailed' | 'Unbound' | 'Deleting';

/** Released attachments are no ARQs any more. */
const states: Readonly<Record<Exclude<AttachmentState, 'requested' | 'released'>, ArqState>> = {
  reserved: 'BindStarted',
  attaching: 'BindStarted',
  attached: 'Bound',
  failed: 'BindFailed',
  detaching: 'Deleting',
};

/** What a client that asks for `bind_state=resolved` waits for. */
export const resolvedStates = [
  'attached',
  'failed',
  'detaching',
] as const satisfies readonly AttachmentState[];

export function arqStateOf({
  state,
  wasBound,
}: {
  readonly state: Exclude<AttachmentState, 'released'>;
  readonly wasBound: boolean;
}): ArqState {
  if (state === 'requested') return wasBound ? 'Unbound' : 'Initial';
  return states[state];
}

/** Attach plans that Nova can carry out; a bind to anything else is refused: the server would start without it. */
export const v2Plans = ['pci', 'test-pci'] as const;

const handleTypes: Readonly<Record<string, string>> = { pci: 'PCI', 'test-pci': 'TEST_PCI' };

/** v2's `attach_handle_type`; undefined for what only our agent plugs. */
export function handleTypeOf(plans: readonly string[]): string | undefined {
  const plan = v2Plans.find((one) => plans.includes(one));
  return plan === undefined ? undefined : handleTypes[plan];
}

/** Trait of cards whose one function takes two ARQs (management and user). */
const twiceTrait = 'CUSTOM_FPGA_XILINX';

/** How many ARQs a profile's group stands for. */
export function arqsOfGroup({
  resources,
  required,
}: {
  readonly resources: readonly { readonly resourceClass: string; readonly count: number }[];
  readonly required: readonly string[];
}): number {
  const sum = (rows: typeof resources): number => rows.reduce((all, { count }) => all + count, 0);
  const fpgas = resources.filter(({ resourceClass }) => resourceClass === 'FPGA');
  return required.includes(twiceTrait) && fpgas.length > 0 ? 2 * sum(fpgas) : sum(resources);
}
