/** The policy of v2, with the rules of an operator's file in place of its own. */
import { readFileSync } from 'node:fs';

import { PolicyRuleError, makeV2Policy } from '@cyborg/model/v2/policy';
import type { V2Policy } from '@cyborg/model/v2/policy';
import { OptionError } from '@cyborg/service/option-error';
import { parse } from 'yaml';

/** @throws {OptionError} naming the file, the rule and the way out. */
export function readPolicyFile(path: string | undefined): V2Policy {
  if (path === undefined) return makeV2Policy();
  try {
    return makeV2Policy(toRules(parse(readFileSync(path, 'utf8')), path));
  } catch (error) {
    if (error instanceof OptionError) throw error;
    if (error instanceof PolicyRuleError) {
      throw new OptionError(
        `--policy-file: ${path}: rule '${error.rule}': ${error.message.replace(/\.$/, '')}.`,
      );
    }
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new OptionError(`--policy-file: ${path} cannot be used: ${reason}.`);
  }
}

/** An empty file, or one of comments only as upstream's sample is, changes nothing. */
function toRules(content: unknown, path: string): Record<string, string> {
  const entries = content === null || content === undefined ? [] : Object.entries(content);
  if (Array.isArray(content) || typeof content === 'string') {
    throw new OptionError(
      `--policy-file: ${path} must hold rules, such as "cyborg:arq:create": "role:member".`,
    );
  }
  return Object.fromEntries(
    entries.map(([rule, check]: [string, unknown]) => {
      if (typeof check === 'string') return [rule, check];
      throw new OptionError(
        `--policy-file: ${path}: rule '${rule}' must be a text, such as "role:member".`,
      );
    }),
  );
}
