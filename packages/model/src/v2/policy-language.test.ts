import { describe, it } from 'vitest';

import { resolveRoles, type Caller, type Role } from '../caller.ts';
import { evaluate, parseCheck } from './policy-language.ts';
import { PolicyRuleError, makeV2Policy } from './policy.ts';

function callerWith(role: Role): Caller {
  return {
    userId: 'u1',
    userName: 'user',
    projectId: 'p1',
    projectName: 'project',
    roles: resolveRoles([role]),
    isServiceRequest: false,
  };
}

describe('a check of the policy', () => {
  const ask = (text: string, roles: readonly string[] = ['member']): boolean =>
    evaluate(parseCheck(text), {
      rules: { mine: parseCheck('project_id:%(project_id)s'), never: parseCheck('!') },
      roles: new Set(roles),
      credentials: { project_id: 'p1', user_id: 'u1', is_admin: 'False' },
      target: { project_id: 'p1', user_id: 'u2' },
    });

  it('is read with and, or, not and parentheses, and before or', ({ expect }) => {
    for (const [text, expected] of [
      ['', true],
      ['@', true],
      ['!', false],
      ['role:member', true],
      ['role:MEMBER', true],
      ['role:admin', false],
      ['not role:admin', true],
      ['not not role:admin', false],
      ['role:admin or role:member', true],
      ['role:admin and role:member or role:member', true],
      ['role:member or role:admin and role:admin', true],
      ['(role:member or role:admin) and role:admin', false],
      ['role:member and (not role:admin)', true],
      ['role:member and rule:mine', true],
      ['rule:never or rule:unknown', false],
      ['project_id:%(project_id)s', true],
      ['user_id:%(user_id)s', false],
      ['user_id:%(nothing)s', false],
      ['user_id:u1', true],
      ['is_admin:True', false],
      ["'p1':%(project_id)s", true],
      ['True:%(project_id)s', false],
    ] as const) {
      expect(ask(text), text).toBe(expected);
    }
  });

  it('that is broken is refused, naming its rule', ({ expect }) => {
    for (const text of [
      'role',
      'role:',
      ':x',
      'role:a role:b',
      'role:a and',
      'or role:a',
      '(role:a',
      'role:a)',
      'not',
      'http://example.org/check',
      'rule:no_such_rule',
      'rule:cyborg:arq:create',
    ]) {
      const make = (): unknown => makeV2Policy({ 'cyborg:arq:create': text });
      expect(make, text).toThrow(PolicyRuleError);
      try {
        make();
      } catch (error) {
        expect(error).toMatchObject({ rule: 'cyborg:arq:create' });
      }
    }
    expect(() => makeV2Policy({ 'cyborg:arq:craete': '@' })).toThrow(/cyborg:arq:create/);
    const around = { a: 'rule:b', b: 'not rule:a' };
    expect(() => makeV2Policy(around)).toThrow(/a → b → a|b → a → b/);
  });

  it('of a file takes the place of ours, for base rules too', ({ expect }) => {
    const policy = makeV2Policy({ admin_api: 'role:manager', 'cyborg:device:get_all': '!' });
    expect(policy.isAllowed(callerWith('manager'), 'cyborg:attribute:create')).toBe(true);
    expect(policy.isAllowed(callerWith('admin'), 'cyborg:device:get_all')).toBe(false);
    expect(policy.isAllowed(callerWith('member'), 'cyborg:arq:create')).toBe(true);
  });
});
