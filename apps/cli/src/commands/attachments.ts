import { all, type V3Result } from '@cyborg/api-client/v3';

import { defineCommand, type Context } from '../command.ts';
import { UsageError } from '../errors.ts';
import { actArgs, dryRunFlag, finishOperation, waitFlag } from '../operations/act.ts';
import type { Operation } from '../operations/wait.ts';
import { cellText } from '../output/cells.ts';
import { limitFlag, take } from './arguments.ts';
import { simulatedColumn } from './columns.ts';

type Accelerator = V3Result<'showAccelerator'>;

const instanceArg = {
  instance_id: { help: 'id of the instance, or a name that is unique' },
} as const;

export const attachInstance = defineCommand({
  changes: true,
  args: instanceArg,
  flags: {
    accelerator: { type: 'strings', placeholder: 'ID', help: 'this accelerator (or its name)' },
    profile: { type: 'string', placeholder: 'NAME', help: 'what this device profile asks for' },
    driver: { type: 'string', placeholder: 'ID', help: 'any accelerator of this driver' },
    count: { type: 'integer', placeholder: 'N', min: 1, max: 64, help: 'so many, or none' },
    trait: { type: 'strings', placeholder: 'TRAIT', help: 'only what has this trait' },
    numaNode: {
      type: 'integer',
      placeholder: 'N',
      min: 0,
      max: 65_535,
      help: "only on this NUMA node of the host; the instance's own are preferred anyway",
    },
    sameRoot: { type: 'boolean', help: 'all of them under one PCIe root port' },
    dryRun: dryRunFlag,
    wait: waitFlag,
  },
  examples: [
    {
      command: 'cyborg attach-instance vm-1',
      help: 'one of the only kind that is free on its host',
    },
    { command: 'cyborg attach-instance vm-1 --driver generic --count 2', help: 'two, or none' },
    {
      command: 'cyborg attach-instance vm-1 --driver generic --count 2 --same-root',
      help: 'two that reach each other without leaving their PCIe root port',
    },
    { command: 'cyborg attach-instance vm-1 --dry-run', help: 'what would happen, or why not' },
  ],
  async run({ args, flags }, context) {
    const { profile, driver } = flags;
    const [accelerator, ...more] = flags.accelerator;
    const choices = [accelerator, profile, driver].filter((it) => it !== undefined);
    if (choices.length > 1) {
      throw new UsageError(
        'Choose with one of --accelerator, --profile and --driver, not several.',
      );
    }
    const answer = await context.api.createAttachments({
      params: { instance_id: args.instance_id },
      body: {
        ...(more.length > 0 ? { accelerators: [...flags.accelerator] } : { accelerator }),
        profile,
        driver,
        count: flags.count,
        traits: flags.trait.length > 0 ? [...flags.trait] : undefined,
        numa_node: flags.numaNode,
        same_root: flags.sameRoot ? true : undefined,
      },
      ...actArgs(context, flags.dryRun),
    });
    await finishOperation(answer, context, {
      wait: flags.wait,
      show: (operation) => showAttached(operation, context),
    });
  },
});

/** The accelerators that were attached; json and yaml give the operation with them as a member. */
async function showAttached(operation: Operation, { api, out }: Context): Promise<void> {
  const { accelerator_ids: ids } = operation.subject;
  const wanted = Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
  const accelerators = await Promise.all(
    wanted.map((id) => api.showAccelerator({ params: { id } })),
  );
  if (out.format === 'json' || out.format === 'yaml')
    return out.show({ ...operation, accelerators });
  const { chosen } = operation.subject;
  for (const why of Array.isArray(chosen) ? chosen : []) out.say(`Chosen: ${cellText(why, '')}.`);
  await out.list<Accelerator>(
    accelerators,
    ['id', 'name', 'type', 'state', 'instance_id', 'host', 'backend', simulatedColumn],
    'Nothing was attached.',
  );
}

export const detachInstance = defineCommand({
  changes: true,
  args: instanceArg,
  flags: {
    accelerator: { type: 'strings', placeholder: 'ID', help: 'only this one (or its name)' },
    force: {
      type: 'boolean',
      help: 'give up on a host that will not answer (admins; is recorded)',
    },
    dryRun: dryRunFlag,
    wait: waitFlag,
  },
  examples: [
    { command: 'cyborg detach-instance vm-1', help: 'all that attach-instance gave it' },
    { command: 'cyborg detach-instance vm-1 --accelerator ID', help: 'one of them' },
    {
      command: 'cyborg detach-instance vm-1 --accelerator ID --accelerator ID',
      help: 'two, such as those of one IOMMU group, which go together',
    },
  ],
  async run({ args, flags }, context) {
    const { query, headers } = actArgs(context, flags.dryRun);
    const [accelerator, ...more] = flags.accelerator;
    const answer = await context.api.deleteAttachments({
      params: { instance_id: args.instance_id },
      query: {
        ...query,
        ...(more.length > 0 ? { accelerators: [...flags.accelerator] } : { accelerator }),
        force: flags.force ? true : undefined,
      },
      headers,
    });
    await finishOperation(answer, context, { wait: flags.wait });
  },
});

export const attachmentList = defineCommand({
  args: instanceArg,
  flags: { limit: limitFlag },
  examples: [{ command: 'cyborg attachment-list vm-1', help: 'what vm-1 holds, and how it came' }],
  async run({ args, flags }, { api, out }) {
    const params = { instance_id: args.instance_id };
    await out.list(
      await take(all(api.listAttachments, { params }), flags.limit),
      [
        'id',
        'accelerator_id',
        'accelerator_name',
        'accelerator_type',
        'instance_id',
        'state',
        'observed',
        'origin',
        'reason',
      ],
      'It holds no accelerators.',
    );
  },
});
