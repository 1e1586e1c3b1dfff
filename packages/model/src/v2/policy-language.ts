/**
 * The language of oslo.policy's checks: `role:x`, `rule:y`, `project_id:%(project_id)s`, `'text':%(…)s`, `and`, `or`, `not`,
 * parentheses, `@` (everybody), `!` (nobody) and nothing at all (everybody).
 */
export type Check =
  | { readonly kind: 'all' | 'none' }
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Check[] }
  | { readonly kind: 'not'; readonly part: Check }
  | { readonly kind: 'rule'; readonly name: string }
  | { readonly kind: 'role'; readonly role: string }
  | { readonly kind: 'match'; readonly left: string; readonly right: string };

export class PolicySyntaxError extends Error {
  override readonly name = 'PolicySyntaxError';
}

/** @throws {PolicySyntaxError} saying what was found where. */
export function parseCheck(text: string): Check {
  const tokens = tokenize(text);
  if (tokens.length === 0) return { kind: 'all' };
  const reader = { tokens, at: 0 };
  const check = readOr(reader);
  const rest = tokens[reader.at];
  if (rest !== undefined) throw new PolicySyntaxError(`${quote(rest)} is one too many`);
  return check;
}

interface Reader {
  readonly tokens: readonly string[];
  at: number;
}

/** Parentheses stand for themselves, except those of `%(name)s`. */
function tokenize(text: string): string[] {
  return text.match(/(?:%\([^()\s]*\)s|'[^']*'|"[^"]*"|[^\s()])+|[()]/g) ?? [];
}

function readOr(reader: Reader): Check {
  return readList(reader, 'or', () => readList(reader, 'and', () => readNot(reader)));
}

function readList(reader: Reader, word: 'and' | 'or', read: () => Check): Check {
  const parts = [read()];
  while (reader.tokens[reader.at]?.toLowerCase() === word) {
    reader.at++;
    parts.push(read());
  }
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { kind: word, parts };
}

function readNot(reader: Reader): Check {
  const token = reader.tokens[reader.at];
  reader.at++;
  if (token === undefined) throw new PolicySyntaxError('the check ends where another is expected');
  if (token.toLowerCase() === 'not') return { kind: 'not', part: readNot(reader) };
  if (token !== '(') return readLeaf(token);
  const inner = readOr(reader);
  if (reader.tokens[reader.at] !== ')') throw new PolicySyntaxError('a ")" is missing');
  reader.at++;
  return inner;
}

function readLeaf(token: string): Check {
  if (token === '@') return { kind: 'all' };
  if (token === '!') return { kind: 'none' };
  const colon = token.startsWith("'")
    ? token.indexOf(':', token.indexOf("'", 1))
    : token.indexOf(':');
  const left = token.slice(0, colon);
  const right = token.slice(colon + 1);
  if (colon < 1 || right === '') {
    throw new PolicySyntaxError(`${quote(token)} is no check of the form kind:match, "@" or "!"`);
  }
  if (left === 'rule') return { kind: 'rule', name: right };
  if (left === 'role') return { kind: 'role', role: right.toLowerCase() };
  if (left === 'http' || left === 'https') {
    throw new PolicySyntaxError(`${quote(token)}: checks by asking a server are not supported`);
  }
  return { kind: 'match', left, right };
}

function quote(token: string): string {
  return JSON.stringify(token.slice(0, 100));
}

export type Checks = Readonly<Record<string, Check>>;

export interface PolicyContext {
  readonly rules: Checks;
  readonly roles: ReadonlySet<string>;
  /** What is known of the caller: user_id, project_id, is_admin, … */
  readonly credentials: Readonly<Record<string, string>>;
  /** What `%(name)s` stands for. */
  readonly target: Readonly<Record<string, string>>;
}

/** A rule that does not exist refuses. Rules are known not to refer to themselves (`checkReferences`). */
export function evaluate(check: Check, context: PolicyContext): boolean {
  switch (check.kind) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'and':
      return check.parts.every((part) => evaluate(part, context));
    case 'or':
      return check.parts.some((part) => evaluate(part, context));
    case 'not':
      return !evaluate(check.part, context);
    case 'rule': {
      const rule = context.rules[check.name];
      return rule !== undefined && evaluate(rule, context);
    }
    case 'role':
      return context.roles.has(check.role);
    case 'match':
      return matches(check, context);
  }
}

/** The right is filled from the target; the left is a literal in quotes, a truth value, or the name of a credential. */
function matches(
  { left, right }: { readonly left: string; readonly right: string },
  { credentials, target }: PolicyContext,
): boolean {
  const [, name] = /^%\(([^()\s]*)\)s$/.exec(right) ?? [];
  const wanted = name === undefined ? unquoted(right) : target[name];
  const isLiteral = /^'.*'$/.test(left) || left === 'True' || left === 'False';
  const found = isLiteral ? unquoted(left) : credentials[left];
  return wanted !== undefined && found !== undefined && wanted === found;
}

function unquoted(text: string): string {
  return text.replace(/^'(.*)'$/, '$1').replace(/^"(.*)"$/, '$1');
}

/** @throws {PolicySyntaxError} when a rule leads to one that does not exist, or back to itself. */
export function checkReferences(name: string, rules: Checks, path: readonly string[] = []): void {
  if (path.includes(name)) {
    throw new PolicySyntaxError(`it leads back to itself: ${[...path, name].join(' → ')}`);
  }
  const rule = rules[name];
  if (rule === undefined) throw new PolicySyntaxError(`there is no rule ${quote(name)}`);
  for (const next of referred(rule)) checkReferences(next, rules, [...path, name]);
}

function referred(check: Check): string[] {
  if (check.kind === 'rule') return [check.name];
  if (check.kind === 'not') return referred(check.part);
  return check.kind === 'and' || check.kind === 'or' ? check.parts.flatMap(referred) : [];
}
