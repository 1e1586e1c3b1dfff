/**
 * v2's policy: upstream's rules with its new defaults. Whose rows a caller sees is decided in the queries.
 *
 * @see docs/reference/v2-differences.md
 */
import type { Caller } from '../caller.ts';
import { nearest } from '../nearest.ts';
import { checkReferences, evaluate, parseCheck } from './policy-language.ts';
import type { Checks } from './policy-language.ts';

/** What the rules of operations are made of. */
export const v2BaseRules = {
  admin_api: 'role:admin',
  project_admin_api: 'role:admin and project_id:%(project_id)s',
  project_manager_api: 'role:manager and project_id:%(project_id)s',
  project_member_api: 'role:member and project_id:%(project_id)s',
  project_reader_api: 'role:reader and project_id:%(project_id)s',
  service_api: 'role:service',
  project_manager_or_admin: 'rule:project_manager_api or rule:admin_api',
  project_member_or_admin: 'rule:project_member_api or rule:admin_api',
  project_reader_or_admin: 'rule:project_reader_api or rule:admin_api',
  project_member_or_service: 'rule:project_member_api or rule:service_api',
  public_api: 'is_public_api:True',
  allow: '@',
  deny: '!',
  default: 'rule:admin_or_owner',
  is_admin: 'rule:admin_api',
  admin_or_owner: 'is_admin:True or project_id:%(project_id)s',
  admin_or_user: 'is_admin:True or user_id:%(user_id)s',
} as const;

export const v2Rules = {
  'cyborg:device_profile:get_all': 'rule:project_reader_or_admin',
  'cyborg:device_profile:get_one': 'rule:project_reader_or_admin',
  'cyborg:device_profile:create': 'rule:admin_api',
  'cyborg:device_profile:delete': 'rule:admin_api',
  'cyborg:device:get_all': 'rule:project_manager_or_admin',
  'cyborg:device:get_one': 'rule:project_manager_or_admin',
  'cyborg:device:enable': 'rule:admin_api',
  'cyborg:device:disable': 'rule:admin_api',
  'cyborg:deployable:get_all': 'rule:project_manager_or_admin',
  'cyborg:deployable:get_one': 'rule:project_manager_or_admin',
  'cyborg:deployable:program': 'rule:admin_api',
  'cyborg:attribute:get_all': 'rule:project_manager_or_admin',
  'cyborg:attribute:get_one': 'rule:project_manager_or_admin',
  'cyborg:attribute:create': 'rule:admin_api',
  'cyborg:attribute:delete': 'rule:admin_api',
  'cyborg:arq:get_all': 'rule:project_reader_or_admin',
  'cyborg:arq:get_one': 'rule:project_reader_or_admin',
  'cyborg:arq:create': 'rule:project_member_or_service',
  'cyborg:arq:delete': 'rule:project_member_or_service',
  'cyborg:arq:update': 'rule:project_member_or_service',
} as const;

export type V2Rule = keyof typeof v2Rules;

export interface V2Policy {
  isAllowed(caller: Caller, rule: V2Rule): boolean;
}

/** One rule of a policy file is wrong. */
export class PolicyRuleError extends Error {
  override readonly name = 'PolicyRuleError';
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(message);
    this.rule = rule;
  }
}

/**
 * @param overrides  of a policy file: rule → check.
 * @throws {PolicyRuleError} for a check that cannot be read, or that leads nowhere or back to itself.
 */
export function makeV2Policy(overrides: Readonly<Record<string, string>> = {}): V2Policy {
  for (const name of Object.keys(overrides)) {
    // A misspelt rule would leave the one that was meant as it is.
    if (name.startsWith('cyborg:') && !Object.hasOwn(v2Rules, name)) {
      const near = nearest(name, Object.keys(v2Rules)).join(', ');
      throw new PolicyRuleError(name, `there is no such rule; the nearest that exist are ${near}.`);
    }
  }
  const texts: Readonly<Record<string, string>> = { ...v2BaseRules, ...v2Rules, ...overrides };
  const rules = Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [name, naming(name, () => parseCheck(text))]),
  );
  for (const name of Object.keys(rules)) naming(name, () => checkReferences(name, rules));
  return { isAllowed: (caller, rule) => ask(rules, caller, rule) };
}

function ask(rules: Checks, caller: Caller, rule: V2Rule): boolean {
  const check = rules[rule];
  const roles = new Set([...(caller.roleNames ?? caller.roles)].map((role) => role.toLowerCase()));
  const own = { project_id: caller.projectId, user_id: caller.userId };
  const credentials = {
    ...own,
    user_name: caller.userName,
    project_name: caller.projectName,
    is_admin: caller.roles.has('admin') ? 'True' : 'False',
    is_public_api: 'False',
  };
  // Upstream asks about the caller's own project and user: rows of others are the queries' part.
  return check !== undefined && evaluate(check, { rules, roles, credentials, target: own });
}

function naming<Result>(rule: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw new PolicyRuleError(rule, error instanceof Error ? error.message : String(error));
  }
}
