import { describe, it } from 'vitest';
import manifest from '../manifest.json' with { type: 'json' };
import { openGenericDriver } from './driver.ts';

describe('manifest.json', () => {
  it('says the kinds of the driver as the driver does', ({ expect }) => {
    const { kinds } = openGenericDriver();
    const said = Object.entries(kinds).map(([kind, { title, config, delegable }]) => ({
      kind,
      title,
      config_schema: config,
      delegable,
    }));
    expect(manifest.kinds).toEqual(said);
  });
});
