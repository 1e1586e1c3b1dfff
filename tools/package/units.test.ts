import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, it } from 'vitest';

const agents = ['cyborg-agent.service', 'cyborg-agent-prepare.service'];
/** ProtectClock too: until systemd 252 it allows the clock's device, which forbids all others. */
const closesDevices = /^(?:PrivateDevices|DevicePolicy|DeviceAllow|ProtectClock)=.*$/gmu;

describe('the units of the agent', () => {
  it.for(agents)('leave the host’s devices open: %s', (name, { expect }) => {
    const unit = readFileSync(join(import.meta.dirname, 'files', name), 'utf8');
    expect(unit.match(closesDevices)).toBeNull();
  });
});
