import fc from 'fast-check';
import { Check } from 'typebox/value';
import { describe, it } from 'vitest';
import { findProblem, parseSetting, withDefaults, type JsonSchema } from './json-schema.ts';
import { driverRequests, InventorySchema } from './protocol.ts';

const accelerator = {
  key: 'a',
  name: 'a',
  type: 'GPU',
  plans: ['pci'],
  offered: true,
  reason: null,
  host_use: null,
  attach_info: { bus: '0c' },
};
const device = {
  key: 'k',
  address: '0000:21:00.0',
  vendor_id: '0x10de',
  device_id: null,
  class: '0x030000',
  type: 'GPU',
  vendor: null,
  model: null,
  serial: null,
  numa_node: 0,
  iommu_group: null,
  kernel_driver: null,
  offered: true,
  reason: null,
  health: { status: 'healthy', reason: null },
  info: {},
  deployables: [
    { key: 'k', name: 'h_k', resource_class: 'PGPU', traits: [], accelerators: [accelerator] },
  ],
};

/** The value with one place in it replaced or removed. */
function mutate(value: unknown, steps: readonly number[], junk: unknown): unknown {
  const [step, ...rest] = steps;
  if (step === undefined || typeof value !== 'object' || value === null) return junk;
  const keys = Object.keys(value);
  const key = keys[step % Math.max(1, keys.length)];
  if (key === undefined) return junk;
  const entries = Object.entries(value).map(([name, item]) =>
    name === key ? [name, mutate(item, rest, junk)] : [name, item],
  );
  return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

describe('findProblem', () => {
  it('agrees with TypeBox about an inventory in which something was changed', ({ expect }) => {
    const good = { devices: [device], services: [] };
    expect(findProblem(InventorySchema, good, 'inventory')).toBeUndefined();
    fc.assert(
      fc.property(fc.array(fc.nat(30), { maxLength: 7 }), fc.jsonValue(), (steps, junk) => {
        const value = mutate(good, steps, junk);
        const isFine = findProblem(InventorySchema, value, 'inventory') === undefined;
        return isFine === Check(InventorySchema, value);
      }),
      { numRuns: 2000 },
    );
  });

  it('agrees with TypeBox about the parameters of every request', ({ expect }) => {
    for (const [method, request] of Object.entries(driverRequests)) {
      const schema: JsonSchema = JSON.parse(JSON.stringify(request.params)); // as drivers get it
      const keys = Object.keys(request.params.properties);
      fc.assert(
        fc.property(fc.dictionary(fc.constantFrom('other', ...keys), fc.jsonValue()), (value) => {
          const isFine = findProblem(schema, value, 'params') === undefined;
          expect(isFine, method).toBe(Check(request.params, value));
        }),
        { numRuns: 100 },
      );
    }
  });

  it('names the place, the value and what is allowed', ({ expect }) => {
    const schema: JsonSchema = {
      type: 'object',
      properties: {
        offer: { enum: ['none', 'all'] },
        rules: { type: 'array', items: { type: 'integer' } },
      },
      additionalProperties: false,
    };
    expect(findProblem(schema, { offer: 'some' }, 'config')).toBe(
      'config.offer is "some"; it must be one of "none", "all"',
    );
    expect(findProblem(schema, { rules: [1, 'x'] }, 'config')).toBe(
      'config.rules[1] is "x"; it must be of type integer',
    );
    expect(findProblem(schema, { ofer: 'all' }, 'config')).toBe(
      'config.ofer is not known; the keys are offer, rules',
    );
    expect(findProblem(schema, JSON.parse('{"__proto__":1}'), 'config')).toMatch(/not known/u);
  });
});

describe('withDefaults', () => {
  it('fills what is missing at every depth and leaves the given value alone', ({ expect }) => {
    const schema: JsonSchema = {
      properties: {
        count: { default: 4 },
        rules: { default: [], items: { properties: { offer: { default: false } } } },
      },
    };
    const given = { rules: [{}] };
    expect(withDefaults(schema, given)).toEqual({ count: 4, rules: [{ offer: false }] });
    expect(given).toEqual({ rules: [{}] });
  });
});

describe('parseSetting', () => {
  it('reads text by the schema of its key', ({ expect }) => {
    const list: JsonSchema = { type: 'array', items: { type: 'string' } };
    expect(parseSetting(list, '03,12,0b40')).toEqual(['03', '12', '0b40']);
    expect(parseSetting({ type: 'array', items: {} }, '[{"vendor":"10de"}]')).toEqual([
      { vendor: '10de' },
    ]);
    expect(parseSetting({ type: 'integer' }, '4')).toBe(4);
    expect(parseSetting({ type: 'integer' }, 'four')).toBe('four');
    expect(parseSetting({ enum: ['none', 'all'] }, 'all')).toBe('all');
    expect(parseSetting(undefined, 'x=y')).toBe('x=y');
  });
});
