import { describe, it } from 'vitest';

import { makeSecret } from './credentials.ts';

describe('secrets', () => {
  it('are values of an option, whatever was drawn', ({ expect }) => {
    // As base64url these bytes begin with a dash.
    const bytes = (size: number): Buffer => Buffer.alloc(size, 0xfb);
    const { secret } = makeSecret({ bytes, uuid: () => '', fraction: () => 0 });
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
  });
});
