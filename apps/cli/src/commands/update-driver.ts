import { defineCommand, type Context } from '../command.ts';
import { UsageError } from '../errors.ts';
import { dryRunFlag, finishOperation, forceArgs, forceFlag, waitFlag } from '../operations/act.ts';
import { toConfig } from './arguments.ts';
import { rolloutFlags, toRollout } from './rollout.ts';

const acts = ['rollback', 'pause', 'resume'] as const;
type RolloutAct = (typeof acts)[number];

export const updateDriver = defineCommand({
  changes: true,
  args: { driver_id: { help: 'id of the driver' } },
  flags: {
    version: { type: 'string', placeholder: 'V', help: 'instead of the newest approved one' },
    backend: { type: 'string', placeholder: 'NAME', help: 'the backend that --config is for' },
    config: {
      type: 'strings',
      placeholder: 'KEY=VALUE',
      help: 'a setting to change; KEY=null returns to the default',
    },
    ...rolloutFlags,
    rollback: { type: 'boolean', help: 'back to the version before, everywhere' },
    pause: { type: 'boolean', help: 'begin with no more hosts' },
    resume: { type: 'boolean', help: 'go on, also after a stop, and try again where it failed' },
    force: forceFlag,
    dryRun: dryRunFlag,
    wait: waitFlag,
  },
  examples: [
    { command: 'cyborg update-driver generic', help: 'to the newest approved version' },
    {
      command: 'cyborg update-driver acme --canary 1 --batch 10 --pause-between 300',
      help: 'one host first, then ten at a time with five minutes between',
    },
    { command: 'cyborg update-driver acme --rollback', help: 'to the version before' },
    {
      command: 'cyborg update-driver generic --backend virtual --config crypto=8',
      help: 'change one setting and keep the version and the other settings',
    },
  ],
  async run({ args, flags }, context) {
    const backends = toBackends(flags.backend, flags.config);
    const rollout = toRollout(flags);
    const act = toAct(flags);
    const answer = await context.api.updateDriver({
      params: { driver_id: args.driver_id },
      body: {
        version:
          flags.version ?? (await versionFor(context, args.driver_id, { rollout, act, backends })),
        rollout,
        act,
        backends,
      },
      ...forceArgs(context, flags),
    });
    await finishOperation(answer, context, { wait: flags.wait });
  },
});

/** A pace alone is that of an update to the newest approved version, as without any flag. */
async function versionFor(
  { api }: Context,
  driverId: string,
  others: { readonly rollout: unknown; readonly act: unknown; readonly backends: unknown },
): Promise<string | undefined> {
  const { rollout, act, backends } = others;
  if (rollout === undefined || act !== undefined || backends !== undefined) return undefined;
  const { version } = await api.showDriver({ params: { driver_id: driverId } });
  return version ?? undefined;
}

function toAct(flags: Record<RolloutAct, boolean>): RolloutAct | undefined {
  const given = acts.filter((act) => flags[act]);
  if (given.length > 1) throw new UsageError(`--${given.join(' and --')} exclude each other.`);
  return given[0];
}

function toBackends(
  name: string | undefined,
  texts: readonly string[],
): { name: string; config: Record<string, unknown> }[] | undefined {
  const config = toConfig(texts);
  if (name !== undefined && config !== undefined) return [{ name, config }];
  if (name !== undefined) throw new UsageError('--backend needs at least one --config KEY=VALUE.');
  if (config !== undefined) throw new UsageError('--config needs --backend NAME.');
  return undefined;
}
