import { describe, expect, it } from 'vitest';

import { ok, page } from '../../test/api-server.ts';
import { serveCyborg } from '../../test/served-command.ts';
import { accelerator } from '../../test/things.ts';

const { cyborg, server } = serveCyborg();

describe('accelerator-show', () => {
  it('finds an accelerator by name, and names the nearest when there is none', async () => {
    server.current.handlers = {
      listAccelerators: () => page(accelerator),
      showAccelerator: () => ok(accelerator),
    };
    const shown = await cyborg(['accelerator-show', 'virtual-crypto-0', '-f', 'json']);
    expect(JSON.parse(shown.stdout)).toEqual(accelerator);
    const unknown = await cyborg(['accelerator-show', 'virtual-crypto-1']);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('the nearest: virtual-crypto-0.');
  });
});
