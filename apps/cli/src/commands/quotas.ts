import type { V3Result } from '@cyborg/api-client/v3';
import { acceleratorTypes } from '@cyborg/model/accelerator-types';

import { defineCommand } from '../command.ts';
import { UsageError } from '../errors.ts';
import type { Column } from '../output/output.ts';
import { actArgs, dryRunFlag, showChanged } from '../operations/act.ts';
import { splitPair } from './arguments.ts';

type Quota = V3Result<'showQuota'>;

const limitsColumn: Column<Quota> = {
  key: 'limits',
  text: ({ limits }) =>
    limits
      .map(
        (it) => `${it.type}: ${it.accelerators_used} used of ${it.accelerators_max ?? 'unlimited'}`,
      )
      .join('\n') || 'unlimited',
};

export const quotaShow = defineCommand({
  args: { project_id: { help: 'the project; your own when absent', optional: true } },
  flags: {},
  examples: [{ command: 'cyborg quota-show demo', help: 'limit and use of each type' }],
  async run({ args }, { api, out }) {
    const projectId = args.project_id ?? (await api.showCaller()).project_id;
    await out.show(await api.showQuota({ params: { project_id: projectId } }), [limitsColumn]);
  },
});

export const quotaSet = defineCommand({
  changes: true,
  args: { project_id: { help: 'the project' } },
  flags: {
    limit: {
      type: 'strings',
      placeholder: 'TYPE=N',
      help: 'how many accelerators of a type; TYPE=unlimited lifts the limit',
    },
    dryRun: dryRunFlag,
  },
  examples: [
    { command: 'cyborg quota-set demo --limit GPU=2 --limit CRYPTO=unlimited', help: 'two GPUs' },
  ],
  async run({ args, flags }, context) {
    if (flags.limit.length === 0) throw new UsageError('Nothing to set: give --limit TYPE=N.');
    const answer = await context.api.updateQuota({
      params: { project_id: args.project_id },
      body: { limits: flags.limit.map(toLimit) },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged<Quota>(answer, context, [limitsColumn]);
  },
});

/** As in the API. */
const limitMost = 1_000_000;

export function toLimit(text: string): { type: string; accelerators_max: number | null } {
  const [type, value] = splitPair('--limit', text);
  const known = type.toUpperCase();
  if (!acceleratorTypes.some((one) => one === known)) {
    throw new UsageError(
      `--limit '${text}': there is no type '${type}'; it is one of ${acceleratorTypes.join(', ')}.`,
    );
  }
  if (value === 'unlimited') return { type: known, accelerators_max: null };
  const max = /^\d+$/.test(value) ? Number(value) : -1;
  if (max >= 0 && max <= limitMost) return { type: known, accelerators_max: max };
  throw new UsageError(
    `--limit '${text}': '${value}' is no whole number from 0 to ${limitMost}; ${known}=unlimited lifts the limit.`,
  );
}
