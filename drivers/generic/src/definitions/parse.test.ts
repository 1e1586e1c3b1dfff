import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'vitest';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { PciConfig } from '../pci/config.ts';
import { Definitions } from './load.ts';
import { parseDefinition } from './parse.ts';
import { definitionSchema } from './schema.ts';

const folder = new URL('../../definitions/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

describe('the definitions that come with the driver', () => {
  it.for(files)(
    '%s is sound, is called as it calls itself, and names its sources',
    (name, { expect }) => {
      const text = readFileSync(new URL(name, folder), 'utf8');
      expect(parseDefinition(name, text).id).toBe(name.replace('.yaml', ''));
      expect(text).toMatch(/^# Sources:\n(#.*https:\/\/.*\n)+/u);
    },
  );

  it('have a JSON Schema for editors that says what the driver checks', ({ expect }) => {
    const said: unknown = JSON.parse(
      readFileSync(new URL('definition.schema.json', folder), 'utf8'),
    );
    expect(said).toMatchObject(JSON.parse(JSON.stringify(definitionSchema)));
  });
});

const head = 'id: acme\ntitle: Acme\n';
const good = `${head}match:\n  - { vendor: 8086, device: 1e36 }\n`;

describe('a definition that is wrong', () => {
  const cases: readonly [string, string, RegExp][] = [
    [
      'a bad id',
      `${head}match:\n  - vendor: 10dx\n`,
      /^a\.yaml:4:13: match\[0\]\.vendor is "10dx"; it must match/u,
    ],
    [
      'a key that is not known',
      `${head}match:\n  - vendor: 10de\n    devise: 2330\n`,
      /^a\.yaml:5:5: match\[0\]\.devise is not known; the keys are vendor, device/u,
    ],
    ['a key that is missing', `${head}type: GPU\n`, /^a\.yaml:1:1: match is missing/u],
    [
      'a value of another kind',
      `${good}vfs: 16\n`,
      /^a\.yaml:5:6: vfs is "16"; it must be of type object/u,
    ],
    [
      'a number that is none',
      `${good}vfs:\n  max: many\n`,
      /^a\.yaml:6:8: vfs\.max is "many"; it must be of type integer/u,
    ],
    ['a key given twice', `${good}type: GPU\ntype: FPGA\n`, /^a\.yaml:6:1: .*unique/u],
    ['broken YAML', `${good}type: [GPU\n`, /^a\.yaml:\d+:\d+: /u],
    ['two documents', `${good}---\n${good}`, /^a\.yaml:\d+:\d+: .*multiple documents/u],
    [
      'an alias',
      `${good}whole: &w\n  attach: pci\nvfs: *w\n`,
      /^a\.yaml:7:6: a definition has no aliases/u,
    ],
    [
      'a match of nothing',
      `${head}match:\n  - vendor: 10de\n  - {}\n`,
      /^a\.yaml:5:5: match\[1\] names nothing/u,
    ],
    [
      'a match of everything',
      `${head}match:\n  - { vendor: '*' }\n`,
      /^a\.yaml:4:5: match\[0\] is every function of the host.*use: rule/u,
    ],
    [
      "another type's service",
      `${good}type: GPU\nservices:\n  - gpu.compute\n  - fpga.compute\n`,
      /^a\.yaml:8:5: services\[1\] is "fpga\.compute"; a service of type GPU begins with gpu\./u,
    ],
    [
      'a service of no type',
      `${good}services: [gpu.compute]\n`,
      /^a\.yaml:5:11: services needs type/u,
    ],
    [
      'a name that is not unique',
      `${good}whole:\n  name: '{host}_card'\n`,
      /^a\.yaml:6:9: whole\.name lacks \{address\}/u,
    ],
    [
      'a name of two deployables',
      `${good}vfs:\n  name: '{host}_{address}'\n`,
      /^a\.yaml:6:9: vfs\.name is that of the whole function/u,
    ],
    [
      'a template name nobody knows',
      `${good}whole:\n  traits: ['CUSTOM_{PRODUKT}']\n`,
      /^a\.yaml:6:12: whole\.traits\[0\] has \{PRODUKT\}; the names are VENDOR, PRODUCT/u,
    ],
    [
      'a reading with a wrong name',
      `${good}read:\n  serial: [serial]\n`,
      /^a\.yaml:6:11: read\.serial must be capital letters/u,
    ],
    [
      'a path out of the card',
      `${good}read:\n  UP: [../vendor]\n`,
      /^a\.yaml:6:8: read\.UP\[0\] is "\.\.\/vendor"; it must match/u,
    ],
    ['nothing', '', /^a\.yaml:1:1: the definition is .*; it must be of type object/u],
    ['a list', '- a\n', /^a\.yaml:1:1: the definition is .*; it must be of type object/u],
  ];

  it.for(cases)('for %s is refused with file, line and rule', ([, text, message], { expect }) => {
    expect(() => parseDefinition('a.yaml', text)).toThrow(message);
    expect(() => parseDefinition('a.yaml', text)).toThrow(DriverError);
  });

  it('is not: ids that look like numbers are texts, and counts are numbers', ({ expect }) => {
    const { match, vfs } = parseDefinition('a.yaml', `${good}vfs: { max: 8 }\n`);
    expect(match).toEqual([{ vendor: '8086', device: '1e36' }]);
    expect(vfs?.max).toBe(8);
  });
});

describe('the definitions of a backend', () => {
  const config: PciConfig = { classes: [], rules: [], exclude: [] };
  const definitions = new Definitions();

  it('come before the shipped ones, and replace those with their id', async ({ expect }) => {
    const text = good.replace('acme', 'intel-qat');
    const found = await definitions.of({ ...config, definitions: [{ file: 'own.yaml', text }] });
    expect(found[0]).toMatchObject({ id: 'intel-qat', title: 'Acme' });
    expect(found.filter(({ id }) => id === 'intel-qat')).toHaveLength(1);
    expect(found).toHaveLength(files.length);
  });

  it('have an id each, and rules name none that is not there', async ({ expect }) => {
    const twice = ['a.yaml', 'b.yaml'].map((file) => ({ file, text: good }));
    await expect(definitions.of({ ...config, definitions: twice })).rejects.toThrow(
      'b.yaml:1:1: id acme is taken by a.yaml',
    );
    const rules = [{ definition: 'intel-x71', offer: true }];
    await expect(definitions.of({ ...config, rules })).rejects.toThrow(
      /^config\.rules\[0\]\.definition is "intel-x71"; the definitions are .*intel-x710/u,
    );
  });
});
