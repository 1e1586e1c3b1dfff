import { all } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import { accelerator, instanceId, limitFlag, take } from './arguments.ts';
import { simulatedColumn } from './columns.ts';

export const acceleratorList = defineCommand({
  args: {},
  flags: {
    driver: { type: 'string', placeholder: 'ID', help: 'only of this driver' },
    backend: { type: 'string', placeholder: 'NAME', help: 'only of this backend, or host@backend' },
    host: { type: 'string', placeholder: 'H', help: 'only on this host' },
    instance: { type: 'string', placeholder: 'ID', help: 'only what this instance holds' },
    project: { type: 'string', placeholder: 'ID', help: 'only what this project holds' },
    state: { type: 'string', placeholder: 'STATE', help: 'available, withheld, attached, …' },
    type: { type: 'string', placeholder: 'TYPE', help: 'GPU, FPGA, CRYPTO, ENTROPY, …' },
    trait: { type: 'string', placeholder: 'TRAIT', help: 'only with this trait' },
    limit: limitFlag,
  },
  examples: [
    { command: 'cyborg accelerator-list --state available', help: 'what can be given out now' },
    { command: 'cyborg accelerator-list -f value -c id', help: 'ids alone, for a script' },
  ],
  async run({ flags }, { api, out }) {
    const query = {
      driver_id: flags.driver,
      backend: flags.backend,
      host: flags.host,
      instance_id: await instanceId(api, flags.instance),
      project_id: flags.project,
      state: flags.state,
      type: flags.type?.toUpperCase(),
      trait: flags.trait,
    };
    await out.list(
      await take(all(api.listAccelerators, { query }), flags.limit),
      ['id', 'name', 'type', 'state', 'reason', 'host', 'backend', 'instance_id', simulatedColumn],
      'No accelerators.',
    );
  },
});

export const acceleratorShow = defineCommand({
  args: { id: { help: 'id of the accelerator, or a name that is unique' } },
  flags: {},
  examples: [{ command: 'cyborg accelerator-show ID', help: 'all that is known of it' }],
  async run({ args }, { api, out }) {
    const id = await accelerator(api, args.id);
    await out.show(await api.showAccelerator({ params: { id } }));
  },
});
