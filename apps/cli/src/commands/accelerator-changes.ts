import { defineCommand, type Context } from '../command.ts';
import { UsageError } from '../errors.ts';
import { actArgs, dryRunFlag, showChanged, showDeleted, waitFlag } from '../operations/act.ts';
import { programAccelerator } from './accelerator-program.ts';
import { accelerator, oneOf, requireChange, toLabels } from './arguments.ts';

export const acceleratorCreate = defineCommand({
  changes: true,
  args: { backend: { help: 'host@backend, or its id', optional: true } },
  flags: {
    backend: { type: 'string', placeholder: 'HOST@NAME', help: 'the backend (or as argument)' },
    name: { type: 'string', placeholder: 'NAME', help: 'what to call it' },
    address: {
      type: 'string',
      placeholder: 'ADDRESS',
      help: 'pci: the withheld function to offer',
    },
    function: {
      type: 'string',
      placeholder: 'FUNCTION',
      choices: ['crypto', 'entropy'],
      help: 'virtual: what the new one does',
    },
    item: { type: 'string', placeholder: 'JSON', help: 'static: the declaration' },
    dryRun: dryRunFlag,
  },
  examples: [
    {
      command: 'cyborg accelerator-create node-1@pci --address 0000:65:00.0',
      help: 'put a withheld function on offer',
    },
    {
      command: 'cyborg accelerator-create node-1@virtual --function entropy',
      help: 'one more software accelerator',
    },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.createAccelerator({
      body: {
        backend: oneOf(args.backend, flags.backend, 'backend'),
        name: flags.name,
        address: flags.address,
        function: flags.function,
        item: flags.item === undefined ? undefined : toItem(flags.item),
      },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});

function toItem(text: string): Record<string, unknown> {
  try {
    const item: unknown = JSON.parse(text);
    if (typeof item === 'object' && item !== null && !Array.isArray(item)) return { ...item };
  } catch {
    // Told below, as for any other text that is no JSON object.
  }
  throw new UsageError(
    `--item '${text}' is no JSON object, such as '{"name":"card-1","type":"FPGA"}'.`,
  );
}

export const acceleratorUpdate = defineCommand({
  changes: true,
  args: { id: { help: 'id of the accelerator, or a name that is unique' } },
  flags: {
    name: { type: 'string', placeholder: 'NAME', help: 'its new name' },
    description: {
      type: 'string',
      placeholder: 'TEXT',
      help: 'a description',
      nullable: 'take it away',
    },
    label: {
      type: 'strings',
      placeholder: 'KEY=VALUE',
      help: 'its labels; they replace the old ones',
    },
    clearLabels: { type: 'boolean', help: 'take all labels away' },
    state: {
      type: 'string',
      placeholder: 'STATE',
      choices: ['available', 'withheld', 'cleaning'],
      help: 'offer it, withhold it, or clean it again after its cleaning failed (admins)',
    },
    reason: { type: 'string', placeholder: 'TEXT', help: 'why' },
    resetlessReason: {
      type: 'string',
      placeholder: 'TEXT',
      help: 'why it may be given out although it has no reset (admins; kept as evidence)',
      nullable: 'cleaning fails again where there is no reset (admins)',
    },
    reservedFor: {
      type: 'string',
      placeholder: 'PROJECT',
      help: 'only this project may have it (admins)',
      nullable: 'everybody may have it again (admins)',
    },
    sameAs: {
      type: 'string',
      placeholder: 'ACCELERATOR',
      help: 'it is the card of this one, which is gone from another slot; with --reason (admins)',
    },
    program: {
      type: 'string',
      placeholder: 'IMAGE',
      help: 'write this program image or firmware into its card: a file, or an image id of Glance (admins)',
    },
    sha256: { type: 'string', placeholder: 'HEX', help: 'what the image must have' },
    dryRun: dryRunFlag,
    wait: waitFlag,
  },
  examples: [
    { command: 'cyborg accelerator-update ID --state available', help: 'approve it' },
    {
      command: 'cyborg accelerator-update ID --state withheld --reason "fan fails"',
      help: 'offer it no longer',
    },
    {
      command: 'cyborg accelerator-update ID --state cleaning',
      help: 'clean again what is cleaning_failed, once the cause is mended',
    },
    { command: 'cyborg accelerator-update ID --no-reserved-for', help: 'for everybody again' },
    {
      command:
        'cyborg accelerator-update ID --same-as gpu-0000:41:00.0 --reason "moved to slot 42"',
      help: 'say which card it is',
    },
    { command: 'cyborg accelerator-update ID --program aes.bit', help: 'program its card' },
  ],
  async run({ args, flags }, context) {
    const body = {
      name: flags.name,
      description: flags.description,
      labels: flags.clearLabels ? {} : toLabels(flags.label),
      state: flags.state,
      reason: flags.reason,
      resetless_reason: flags.resetlessReason,
      reserved_for: flags.reservedFor,
    };
    const { program, sha256, sameAs } = flags;
    if (sameAs !== undefined) return identify(context, args.id, { ...flags, body, sameAs });
    if (program !== undefined) {
      if (Object.values(body).some((value) => value !== undefined)) {
        throw new UsageError(
          '--program goes alone: make the other changes in a command of their own.',
        );
      }
      const id = await accelerator(context.api, args.id);
      return programAccelerator(context, id, { ...flags, program });
    }
    if (sha256 !== undefined)
      throw new UsageError('--sha256 is of a program image: give --program.');
    requireChange(
      body,
      '--name, --description, --label, --state, --resetless-reason, --reserved-for, --same-as, --program',
    );
    const answer = await context.api.updateAccelerator({
      params: { id: await accelerator(context.api, args.id) },
      body,
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context);
  },
});

/** The reason alone goes with it. */
async function identify(
  context: Context,
  name: string,
  {
    sameAs,
    reason,
    body,
    ...flags
  }: {
    readonly sameAs: string;
    readonly reason: string | undefined;
    readonly body: Readonly<Record<string, unknown>>;
    readonly program: string | undefined;
    readonly dryRun: boolean;
  },
): Promise<void> {
  const others = Object.entries({ ...body, program: flags.program }).filter(
    ([field, value]) => field !== 'reason' && value !== undefined,
  );
  if (others.length > 0) {
    throw new UsageError('--same-as goes alone: make the other changes in a command of their own.');
  }
  if (reason === undefined) {
    throw new UsageError('--same-as: say with --reason how you know that it is the same card.');
  }
  const answer = await context.api.identifyAccelerator({
    params: { id: await accelerator(context.api, name) },
    body: { same_as: await accelerator(context.api, sameAs), reason },
    ...actArgs(context, flags.dryRun),
  });
  await showChanged(answer, context);
}

export const acceleratorDelete = defineCommand({
  changes: true,
  args: { id: { help: 'id of the accelerator, or a name that is unique' } },
  flags: { dryRun: dryRunFlag },
  examples: [
    {
      command: 'cyborg accelerator-delete ID',
      help: 'the inverse of create; or its card was pulled',
    },
  ],
  async run({ args, flags }, context) {
    const id = await accelerator(context.api, args.id);
    const answer = await context.api.deleteAccelerator({
      params: { id },
      ...actArgs(context, flags.dryRun),
    });
    await showDeleted(answer, context, `Deleted accelerator ${id}.`);
  },
});
