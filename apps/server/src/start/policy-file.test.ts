import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { resolveRoles, type Caller } from '@cyborg/model/caller';
import { OptionError } from '@cyborg/service/option-error';
import { afterAll, describe, it } from 'vitest';

import { readPolicyFile } from './policy-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'cyborg-policy-'));
const file = join(folder, 'policy.yaml');

const reader: Caller = {
  userId: 'u',
  userName: 'u',
  projectId: 'p',
  projectName: 'p',
  roles: resolveRoles(['reader']),
  isServiceRequest: false,
};

describe('a policy file', () => {
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('takes the place of the rules that it names, as upstream’s sample does', ({ expect }) => {
    writeFileSync(
      file,
      [
        '# Retrieve a list of devices',
        '"cyborg:device:get_all": "rule:operators"',
        'operators: role:reader and not role:admin',
        '#"cyborg:device:enable": "rule:admin_api"',
      ].join('\n'),
    );
    const policy = readPolicyFile(file);
    expect(policy.isAllowed(reader, 'cyborg:device:get_all')).toBe(true);
    expect(policy.isAllowed(reader, 'cyborg:device:get_one')).toBe(false);
    writeFileSync(file, '# nothing\n');
    expect(readPolicyFile(file).isAllowed(reader, 'cyborg:device:get_all')).toBe(false);
  });

  it('that is wrong is refused with its name and the rule', ({ expect }) => {
    for (const [text, said] of [
      ['"cyborg:arq:create": "role:member and ("', "rule 'cyborg:arq:create'"],
      ['"cyborg:arq:create": "rule:nobody"', 'there is no rule "nobody"'],
      ['"cyborg:arq:craete": "@"', "rule 'cyborg:arq:craete'"],
      ['"cyborg:arq:create": 7', "rule 'cyborg:arq:create' must be a text"],
      ['- a', 'must hold rules'],
      ['a: b: c', 'cannot be used'],
    ] as const) {
      writeFileSync(file, text);
      expect(() => readPolicyFile(file), text).toThrow(OptionError);
      expect(() => readPolicyFile(file), text).toThrow(said);
      expect(() => readPolicyFile(file), text).toThrow(file);
    }
    expect(() => readPolicyFile(join(folder, 'missing.yaml'))).toThrow('cannot be used');
  });
});
