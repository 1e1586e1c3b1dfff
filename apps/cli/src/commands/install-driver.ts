import { defineCommand } from '../command.ts';
import { UsageError } from '../errors.ts';
import { actArgs, dryRunFlag, finishOperation, waitFlag } from '../operations/act.ts';
import { toConfig, toLabels } from './arguments.ts';
import { rolloutFlags, toRollout } from './rollout.ts';

interface BackendFlags {
  readonly backend: string | undefined;
  readonly kind: string | undefined;
  readonly config: readonly string[];
  readonly label: readonly string[];
  readonly host: readonly string[];
}

export const installDriver = defineCommand({
  changes: true,
  args: { driver_id: { help: 'id of the driver' } },
  flags: {
    version: { type: 'string', placeholder: 'V', help: 'instead of the newest approved one' },
    backend: { type: 'string', placeholder: 'NAME', help: 'one backend, not the default ones' },
    kind: { type: 'string', placeholder: 'K', help: 'kind of the backend' },
    config: {
      type: 'strings',
      placeholder: 'KEY=VALUE',
      help: "a setting of the backend; VALUE is JSON when it is valid JSON ('4', 'true', '[…]'), else text",
    },
    host: { type: 'strings', placeholder: 'H', help: 'only this host' },
    label: {
      type: 'strings',
      placeholder: 'KEY=VALUE',
      help: 'hosts with this label (needs --backend)',
    },
    ...rolloutFlags,
    dryRun: dryRunFlag,
    wait: waitFlag,
  },
  examples: [
    { command: 'cyborg install-driver generic', help: 'the default backends on every host' },
    {
      command: 'cyborg install-driver generic --backend soft --kind virtual --config crypto=8',
      help: 'one more backend, beside what is installed',
    },
  ],
  async run({ args, flags }, context) {
    const body = {
      version: flags.version,
      rollout: toRollout(flags),
      ...backendPart(flags),
    };
    const answer = await context.api.installDriver({
      params: { driver_id: args.driver_id },
      body,
      ...actArgs(context, flags.dryRun),
    });
    await finishOperation(answer, context, { wait: flags.wait });
  },
});

function backendPart(flags: BackendFlags): object {
  const hosts = flags.host.length === 0 ? undefined : [...flags.host];
  const config = toConfig(flags.config);
  const labels = toLabels(flags.label);
  if (flags.backend !== undefined) {
    return { backends: [{ name: flags.backend, kind: flags.kind, hosts, labels, config }] };
  }
  const orphan = Object.entries({ kind: flags.kind, config, label: labels }).find(
    ([, value]) => value !== undefined,
  );
  if (orphan !== undefined) throw new UsageError(`--${orphan[0]} needs --backend NAME.`);
  return { hosts };
}
