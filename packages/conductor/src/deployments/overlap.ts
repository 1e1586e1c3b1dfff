/**
 * Rules of two backends that claim one function.
 *
 * Refused is what is certain: the same selection, a selection that lies within the other, or a function in the ledger that
 * both select. What may meet but has not is allowed; should it meet, the function stays with the backend that had it
 * first, and is withheld in the other, naming the first (inventory/apply.ts).
 *
 * Kind `pci` selects functions by rule: `classes`, `rules` and `exclude` of its configuration. Kind `static` names them.
 */
import { isDeepStrictEqual } from 'node:util';

import type { BackendConfig } from '@cyborg/store/schema-deployments';

import {
  declaredBy,
  functionOf,
  sharedByDeclared,
  type Declared,
  type HostedAddition,
} from './declared.ts';

/** What is known of a function on a shared host. */
export interface KnownFunction {
  readonly host: string;
  readonly address: string;
  readonly vendor_id: string | null;
  readonly device_id: string | null;
  readonly class: string | null;
  readonly kernel_driver: string | null;
}

export interface Claimant {
  readonly kind: string;
  /** With defaults filled in. */
  readonly config: BackendConfig;
  /** Of kind `static`: what was added by request. */
  readonly additions?: readonly HostedAddition[];
  /** Of kind `pci`: functions that it reports with this configuration, virtual ones too. */
  readonly lists?: readonly Place[];
}

interface Place {
  readonly host: string;
  readonly address: string;
}

type Criterion = 'vendor' | 'device' | 'class' | 'kernel_driver' | 'address';
type Matcher = Readonly<Partial<Record<Criterion, string>>>;

const criteria = ['vendor', 'device', 'class', 'kernel_driver', 'address'] as const;

/** Why the two certainly claim one function; undefined when that is not certain. */
export function overlapOf(
  a: Claimant,
  b: Claimant,
  functions: readonly KnownFunction[],
): string | undefined {
  if (a.kind === 'static' && b.kind === 'static') {
    return sharedByDeclared(declaredOf(a), declaredOf(b));
  }
  if (a.kind === 'pci' && b.kind === 'static') return selectedAndDeclared(a, b, functions);
  if (a.kind === 'static' && b.kind === 'pci') return selectedAndDeclared(b, a, functions);
  if (a.kind !== 'pci' || b.kind !== 'pci') return undefined;
  const shared = functions.find((fn) => claims(a.config, fn) && claims(b.config, fn));
  if (shared !== undefined) return `both claim ${shared.address} on host ${shared.host}`;
  if (matchersOf(a.config, 'exclude').length + matchersOf(b.config, 'exclude').length > 0) {
    return undefined;
  }
  for (const one of selectionOf(a.config)) {
    for (const other of selectionOf(b.config)) {
      if (isWithin(one, other)) return `${show(one)} lies within ${show(other)}`;
      if (isWithin(other, one)) return `${show(other)} lies within ${show(one)}`;
    }
  }
  return undefined;
}

function declaredOf({ config, additions }: Claimant): Declared[] {
  return declaredBy(config, additions);
}

function selectedAndDeclared(
  pci: Claimant,
  declaring: Claimant,
  functions: readonly KnownFunction[],
): string | undefined {
  for (const item of declaredOf(declaring)) {
    const address = functionOf(item);
    if (address === undefined) continue;
    const isHere = (place: Place): boolean =>
      place.address === address && (item.host === undefined || place.host === item.host);
    const place =
      pci.lists?.find(isHere) ?? functions.find((fn) => isHere(fn) && claims(pci.config, fn));
    if (place !== undefined) return `both claim ${address} on host ${place.host}`;
    if (isSelectedByAddress(pci.config, address)) return `both claim ${address}`;
  }
  return undefined;
}

/** Certain for a rule that asks for nothing but the address, when nothing could exclude the function. */
function isSelectedByAddress(config: BackendConfig, address: string): boolean {
  const mayBeExcluded = matchersOf(config, 'exclude').some(
    (matcher) =>
      matcher.address === undefined || isWithin({ address }, { address: matcher.address }),
  );
  return !mayBeExcluded && selectionOf(config).some((matcher) => isWithin({ address }, matcher));
}

export type KnownFacts = Matcher;

/**
 * A function that the first configuration selects and the second does not. What is not known of it is taken to be as it
 * was: a rule or exclusion that both have treats it as before, a new one is taken to leave it out.
 */
export function drops(before: BackendConfig, after: BackendConfig, known: KnownFacts): boolean {
  const lists = (config: BackendConfig): boolean => {
    const isSure = (matcher: Matcher): boolean =>
      criteria.every((name) => matcher[name] === undefined || known[name] !== undefined);
    const isKept = (matcher: Matcher, kept: readonly Matcher[]): boolean =>
      kept.some((one) => isDeepStrictEqual(one, matcher));
    const mayFit = (matcher: Matcher): boolean =>
      criteria.every((name) => {
        const [given, wanted] = [known[name], matcher[name]];
        if (given === undefined || wanted === undefined) return true;
        return isCriterionWithin(name, given, wanted);
      });
    const isSelected = selectionOf(config).some(
      (one) => mayFit(one) && (isSure(one) || isKept(one, selectionOf(before))),
    );
    const isExcluded = matchersOf(config, 'exclude').some(
      (one) => mayFit(one) && (isSure(one) || !isKept(one, matchersOf(before, 'exclude'))),
    );
    return isSelected && !isExcluded;
  };
  return lists(before) && !lists(after);
}

function selectionOf(config: BackendConfig): Matcher[] {
  const classes: unknown = config['classes'];
  const byClass = Array.isArray(classes) ? classes.map((code) => ({ class: String(code) })) : [];
  return [...byClass, ...matchersOf(config, 'rules')];
}

/** One that names nothing matches nothing. */
function matchersOf(config: BackendConfig, key: 'rules' | 'exclude'): Matcher[] {
  const list: unknown = config[key];
  if (!Array.isArray(list)) return [];
  return list.map(toMatcher).filter((matcher) => Object.keys(matcher).length > 0);
}

function toMatcher(item: unknown): Matcher {
  if (typeof item !== 'object' || item === null) return {};
  const pairs = new Map(Object.entries(item));
  return Object.fromEntries(
    criteria.flatMap((name) => {
      const value: unknown = pairs.get(name);
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );
}

function claims(config: BackendConfig, fn: KnownFunction): boolean {
  const facts = toFacts(fn);
  return (
    selectionOf(config).some((matcher) => isWithin(facts, matcher)) &&
    !matchersOf(config, 'exclude').some((matcher) => isWithin(facts, matcher))
  );
}

function toFacts(fn: KnownFunction): Matcher {
  return {
    vendor: fn.vendor_id ?? '',
    device: fn.device_id ?? '',
    class: fn.class ?? '',
    kernel_driver: fn.kernel_driver ?? 'none',
    address: fn.address,
  };
}

/** Whatever the inner one selects, the outer one does. */
function isWithin(inner: Matcher, outer: Matcher): boolean {
  return criteria.every((name) => {
    const wanted = outer[name];
    const given = inner[name];
    return wanted === undefined || (given !== undefined && isCriterionWithin(name, given, wanted));
  });
}

function isCriterionWithin(name: Criterion, given: string, wanted: string): boolean {
  switch (name) {
    case 'class':
      return plain(given).startsWith(plain(wanted));
    case 'address':
      return given === wanted || (!/[*?]/u.test(given) && globOf(wanted).test(given));
    case 'kernel_driver':
      return given === wanted;
    case 'vendor':
    case 'device':
      return plain(given) === plain(wanted);
  }
}

function plain(hex: string): string {
  return hex.toLowerCase().replace(/^0x/u, '');
}

function globOf(pattern: string): RegExp {
  const source = pattern
    .toLowerCase()
    .replaceAll('.', '\\.')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'iu');
}

function show(matcher: Matcher): string {
  return criteria
    .filter((name) => matcher[name] !== undefined)
    .map((name) => `${name} ${matcher[name]}`)
    .join(', ');
}
