import { defineCommand } from '../command.ts';
import { UsageError } from '../errors.ts';
import { dryRunFlag, finishOperation, forceArgs, forceFlag, waitFlag } from '../operations/act.ts';
import { toConfig } from './arguments.ts';

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
    batch: {
      type: 'integer',
      placeholder: 'N',
      min: 1,
      max: 10_000,
      help: 'hosts changed at once',
    },
    force: forceFlag,
    dryRun: dryRunFlag,
    wait: waitFlag,
  },
  examples: [
    { command: 'cyborg update-driver generic', help: 'to the newest approved version' },
    {
      command: 'cyborg update-driver generic --backend virtual --config crypto=8',
      help: 'change one setting and keep the version and the other settings',
    },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.updateDriver({
      params: { driver_id: args.driver_id },
      body: {
        version: flags.version,
        rollout: flags.batch === undefined ? undefined : { batch: flags.batch },
        backends: toBackends(flags.backend, flags.config),
      },
      ...forceArgs(context, flags),
    });
    await finishOperation(answer, context, { wait: flags.wait });
  },
});

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
