import { describe, it } from 'vitest';

import { checkProtocol } from './manifest-rules.ts';
import { parseManifest } from './manifest.ts';
import { testManifest } from './test-package.ts';

const schema = {
  type: 'object',
  properties: { ids: { type: 'array', items: { type: 'string', pattern: '^[0-9a-f]{4}$' } } },
  additionalProperties: false,
};
const card = { kind: 'card', title: 'A card', config_schema: schema, delegable: ['ids'] };
const own = { name: 'card', kind: 'card', config: {} };

const text = (changed: object): string =>
  JSON.stringify({ ...testManifest, kinds: [card], default_backends: [own], ...changed });
const schemaOf = (config: object): object => ({ kinds: [{ ...card, config_schema: config }] });

describe('a manifest', () => {
  it('whose parts fit each other is taken', ({ expect }) => {
    expect(parseManifest(text({})).kinds).toHaveLength(1);
    const [min, max] = [1, 3];
    expect(() => checkProtocol({ protocol: { min, max } })).not.toThrow();
  });

  it.for<[string, object, string]>([
    ['two kinds of one name', { kinds: [card, card] }, 'kinds.1.kind: there are two kinds card'],
    [
      'a delegable key that is none',
      { kinds: [{ ...card, delegable: ['idz'] }] },
      'kinds.0.delegable: config_schema has no property idz; it has ids.',
    ],
    [
      'a configuration that is a list',
      schemaOf({ ...schema, type: 'array' }),
      'kinds.0.config_schema.type: it is "array"; a configuration is an "object"',
    ],
    [
      'a type that there is not',
      schemaOf({ ...schema, properties: { ids: { type: 'strnig' } } }),
      'kinds.0.config_schema.properties.ids.type: it is "strnig"; the types are object,',
    ],
    [
      'a pattern that is none',
      schemaOf({ ...schema, properties: { ids: { type: 'string', pattern: '(' } } }),
      'kinds.0.config_schema.properties.ids.pattern: "(" is no regular expression',
    ],
    [
      'a property that is no schema',
      schemaOf({ ...schema, properties: { ids: 'text' } }),
      'kinds.0.config_schema.properties.ids: it is no JSON Schema',
    ],
    [
      'a list that is none',
      schemaOf({ ...schema, required: 'ids' }),
      'kinds.0.config_schema.required: it is no list',
    ],
    [
      'properties by a pattern that is none',
      schemaOf({ ...schema, patternProperties: { '[': {} } }),
      'kinds.0.config_schema.patternProperties: "[" is no regular expression',
    ],
    [
      'a default configuration that its schema refuses',
      { default_backends: [{ ...own, config: { ids: ['xyz'] } }] },
      'default_backends.0.config.ids[0] is "xyz"; it must match ^[0-9a-f]{4}$',
    ],
    [
      'two default backends of one name',
      { default_backends: [own, own] },
      'default_backends.1.name: there are two backends card',
    ],
    [
      'a default backend of no kind',
      { default_backends: [{ ...own, kind: 'disk' }] },
      'card is of kind disk, which is not among the kinds (card)',
    ],
  ])('with %s is refused', ([, changed, problem], { expect }) => {
    expect(() => parseManifest(text(changed))).toThrow(problem);
  });

  it('with a key given twice is refused, whatever the strings in it hold', ({ expect }) => {
    const twice = text({}).replace('"kind":"card"', '"kind":"disk","kind":"card"');
    expect(() => parseManifest(twice)).toThrow('"kind": it is given twice in one object');
    const title = 'says "title": {"a": 1}, "a": [';
    expect(parseManifest(text({ title })).title).toBe(title);
  });

  it('for another protocol than the agents speak is refused', ({ expect }) => {
    expect(() => checkProtocol({ protocol: { min: 2, max: 3 } })).toThrow(
      'manifest.json: protocol: it is 2 to 3; agents of this release speak 1.',
    );
  });
});
