import { defineCommand } from '../command.ts';

export const callerShow = defineCommand({
  args: {},
  flags: {},
  examples: [{ command: 'cyborg caller-show', help: 'who the server takes you for' }],
  async run(_input, { api, out }) {
    await out.show(await api.showCaller());
  },
});
