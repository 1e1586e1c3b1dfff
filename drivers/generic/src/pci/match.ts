/** Which functions a backend lists, and what its rules say of them. */
import { formatPciClass } from '@cyborg/driver-sdk/pci';
import type { PciConfig, PciMatcher, PciRule } from './config.ts';
import type { PciFunction } from './function.ts';

export interface Match {
  /** The first rule that matches, if any. */
  readonly rule: PciRule | undefined;
}

type Test = (fn: PciFunction) => boolean;

/** Prepares a configuration for many functions. */
export function compileMatcher(config: PciConfig): (fn: PciFunction) => Match | undefined {
  const isExcluded = config.exclude.map(compile);
  const isOfClass = config.classes.map(classTest);
  const rules = config.rules.map((rule) => ({ rule, test: compile(rule) }));
  return (fn) => {
    const rule = rules.find(({ test }) => test(fn))?.rule;
    if (rule === undefined && !isOfClass.some((test) => test(fn))) return undefined;
    return isExcluded.some((test) => test(fn)) ? undefined : { rule };
  };
}

/** A matcher that names nothing matches nothing: `{}` was hardly meant as "every function of the host". */
function compile(matcher: PciMatcher): Test {
  const tests: Test[] = [];
  const { vendor, device, kernel_driver: driver, address } = matcher;
  if (matcher.class !== undefined) tests.push(classTest(matcher.class));
  if (vendor !== undefined) tests.push(idTest((fn) => fn.vendor, vendor));
  if (device !== undefined) tests.push(idTest((fn) => fn.device, device));
  if (driver !== undefined) tests.push((fn) => (fn.driver ?? 'none') === driver);
  if (address !== undefined) tests.push(addressTest(address));
  return (fn) => tests.length > 0 && tests.every((test) => test(fn));
}

function classTest(prefix: string): Test {
  const wanted = `0x${stripPrefix(prefix)}`;
  return ({ class: code }) => code !== undefined && formatPciClass(code).startsWith(wanted);
}

function idTest(read: (fn: PciFunction) => number | undefined, id: string): Test {
  const wanted = parseInt(stripPrefix(id), 16);
  return (fn) => read(fn) === wanted;
}

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
