import { defineCommand } from '../command.ts';
import { dryRunFlag, finishOperation, forceArgs, waitFlag } from '../operations/act.ts';

export const uninstallDriver = defineCommand({
  changes: true,
  args: { driver_id: { help: 'id of the driver' } },
  flags: {
    backend: { type: 'string', placeholder: 'NAME', help: 'only this backend' },
    host: { type: 'strings', placeholder: 'H', help: 'only from this host' },
    force: {
      type: 'boolean',
      help: 'detach and clean what is in use first (admins; is recorded)',
    },
    keepAttached: {
      type: 'boolean',
      help: 'leave what is in use attached, without its driver, until it is installed again (admins; is recorded)',
    },
    dryRun: dryRunFlag,
    wait: waitFlag,
  },
  examples: [
    { command: 'cyborg uninstall-driver generic', help: 'everywhere; refused while in use' },
    { command: 'cyborg uninstall-driver generic --backend soft', help: 'one backend of it' },
    { command: 'cyborg uninstall-driver acme --force', help: 'detach what is in use first' },
  ],
  async run({ args, flags }, context) {
    const { query, headers } = forceArgs(context, flags);
    const answer = await context.api.uninstallDriver({
      params: { driver_id: args.driver_id },
      query: {
        ...query,
        ...(flags.keepAttached && { keep_attached: true as const }),
        backend: flags.backend,
        host: flags.host.length === 0 ? undefined : [...flags.host],
      },
      headers,
    });
    await finishOperation(answer, context, { wait: flags.wait });
  },
});
