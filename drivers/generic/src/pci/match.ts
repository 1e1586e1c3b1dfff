/** Which functions a backend lists, and what its rules and the definitions say of them. */
import type { Definition, DefinitionMatch } from '../definitions/schema.ts';
import type { PciConfig, PciMatcher, PciRule } from './config.ts';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';

export interface Match {
  /** The first rule that matches, if any. */
  readonly rule: PciRule | undefined;
  /** The one that the rule names, or else the one that says most of what it matches. */
  readonly definition: Definition | undefined;
}

type Test = (fn: PciFunction) => boolean;

/** Prepares a configuration for many functions. */
export function compileMatcher(
  config: PciConfig,
  definitions: readonly Definition[] = [],
): (fn: PciFunction) => Match | undefined {
  const isExcluded = config.exclude.map((matcher) => allOf(testsOf(matcher)));
  const isOfClass = config.classes.map(classTest);
  const rules = config.rules.map((rule) => compileRule(rule, definitions));
  const describe = compileDefinitions(definitions);
  return (fn) => {
    const found = rules.find(({ test }) => test(fn));
    if (found === undefined && !isOfClass.some((test) => test(fn))) return undefined;
    if (isExcluded.some((test) => test(fn))) return undefined;
    return { rule: found?.rule, definition: found?.definition ?? describe(fn) };
  };
}

interface CompiledRule {
  readonly rule: PciRule;
  readonly definition: Definition | undefined;
  readonly test: Test;
}

function compileRule(rule: PciRule, definitions: readonly Definition[]): CompiledRule {
  const tests = testsOf(rule);
  const definition = definitions.find(({ id }) => id === rule.definition);
  if (rule.definition === undefined) return { rule, definition, test: allOf(tests) };
  if (definition === undefined) return { rule, definition, test: () => false };
  const entries = definition.match.map(testsOfDefinition);
  const isDescribed: Test = (fn) => entries.some((all) => all.every((test) => test(fn)));
  // A definition of everything lists nothing by itself: that was hardly meant.
  const needsMore = definition.use === 'rule' && tests.length === 0;
  return { rule, definition, test: needsMore ? () => false : allOf([...tests, isDescribed]) };
}

interface Candidate {
  readonly definition: Definition;
  readonly vendor: number | undefined;
  /** How much the entry names: a card before a chip, a chip before a maker, a maker before a class. */
  readonly rank: number;
  readonly test: Test;
}

/** Of several definitions that match, the one whose entry names most; of equals, the first. */
function compileDefinitions(
  definitions: readonly Definition[],
): (fn: PciFunction) => Definition | undefined {
  const candidates: Candidate[] = definitions
    .filter(({ use }) => use !== 'rule')
    .flatMap((definition) =>
      definition.match.map((entry) => ({
        definition,
        vendor: vendorOf(entry),
        rank: rankOf(entry),
        test: allOf(testsOfDefinition(entry)),
      })),
    )
    .toSorted((a, b) => b.rank - a.rank);
  const byVendor = new Map<number | undefined, readonly Candidate[]>();
  return (fn) => {
    const { vendor } = fn;
    let known = byVendor.get(vendor);
    if (known === undefined) {
      known = candidates.filter((item) => item.vendor === undefined || item.vendor === vendor);
      byVendor.set(vendor, known);
    }
    return known.find(({ test }) => test(fn))?.definition;
  };
}

const ranks = {
  subsystem_device: 32,
  subsystem_vendor: 16,
  device: 8,
  kernel_driver: 4,
  vendor: 2,
  class: 1,
} as const satisfies Record<keyof DefinitionMatch, number>;

function rankOf(entry: DefinitionMatch): number {
  let rank = 0;
  for (const [key, weight] of Object.entries(ranks)) {
    if (Object.hasOwn(entry, key)) rank += weight;
  }
  return entry.vendor === '*' ? rank - ranks.vendor : rank;
}

function vendorOf({ vendor }: DefinitionMatch): number | undefined {
  return vendor === undefined || vendor === '*' ? undefined : parseId(vendor);
}

function testsOfDefinition(entry: DefinitionMatch): Test[] {
  const { vendor, subsystem_vendor: maker, subsystem_device: card, ...rest } = entry;
  const tests = testsOf(vendor === undefined || vendor === '*' ? rest : { ...rest, vendor });
  if (maker !== undefined) tests.push(idTest((fn) => fn.integer('subsystem_vendor'), maker));
  if (card !== undefined) tests.push(idTest((fn) => fn.integer('subsystem_device'), card));
  return tests.length === 0 ? [() => true] : tests;
}

function testsOf(matcher: PciMatcher): Test[] {
  const tests: Test[] = [];
  const { vendor, device, kernel_driver: driver, address } = matcher;
  if (matcher.class !== undefined) tests.push(classTest(matcher.class));
  if (vendor !== undefined) tests.push(idTest((fn) => fn.vendor, vendor));
  if (device !== undefined) tests.push(idTest((fn) => fn.device, device));
  if (driver !== undefined) tests.push((fn) => (fn.usualDriver ?? 'none') === driver);
  if (address !== undefined) tests.push(addressTest(address));
  return tests;
}

/** A matcher that names nothing matches nothing: `{}` was hardly meant as "every function of the host". */
function allOf(tests: readonly Test[]): Test {
  return (fn) => tests.length > 0 && tests.every((test) => test(fn));
}

/** Compared as numbers: a discovery asks this of every function of the host, several times. */
function classTest(prefix: string): Test {
  const digits = stripPrefix(prefix);
  const shift = 4 * (classDigits - digits.length);
  const wanted = parseInt(digits, 16);
  return ({ class: code }) => code !== undefined && (code & 0xffffff) >>> shift === wanted;
}

const classDigits = 6;

function idTest(read: (fn: PciFunction) => number | undefined, id: string): Test {
  const wanted = parseId(id);
  return (fn) => read(fn) === wanted;
}

const parseId = (id: string): number => parseInt(stripPrefix(id), 16);

function addressTest(pattern: string): Test {
  const source = pattern
    .toLowerCase()
    .replaceAll('.', '\\.')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${source}$`, 'u');
  return (fn) => expression.test(fn.address);
}

const stripPrefix = (text: string): string => text.toLowerCase().replace(/^0x(?=..)/u, '');
