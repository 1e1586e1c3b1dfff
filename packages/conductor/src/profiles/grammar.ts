/**
 * The grammar of a device profile's groups, as Cyborg's v2 API has it: keys `resources:CLASS`, `trait:NAME`,
 * `accel:KEY`; values are text; spaces around names are trimmed. Messages are upstream's where clients may know them.
 */
import { ServiceError } from '@cyborg/model/errors';
import type { ProfileGroup } from '@cyborg/store/schema';

const keyPattern = /^(resources:|trait:|accel:)/;
/** What Python's int() reads. */
const integerPattern = /^\s*[+-]?\d+(_\d+)*\s*$/;
/** As many as one attach request may take. */
const amountMax = 64;
const resourceClasses = ['FPGA', 'GPU', 'VGPU', 'PGPU', 'CUSTOM_QAT', 'CUSTOM_NIC', 'CUSTOM_SSD'];
const traitValues = ['required', 'forbidden'];

/** @throws ServiceError `invalid-input`, naming the group, the key and the value. */
export function normalizeGroups(groups: readonly ProfileGroup[]): ProfileGroup[] {
  return groups.map((group, index) => normalizeGroup(group, index));
}

/** What one group asks for. */
export interface GroupRequest {
  readonly resources: readonly { readonly resourceClass: string; readonly count: number }[];
  readonly required: readonly string[];
  readonly forbidden: readonly string[];
  /** `accel:` keys, without the prefix. */
  readonly accel: Readonly<Record<string, string>>;
}

/** Reads a group that is stored, so has been checked. */
export function readGroup(group: ProfileGroup): GroupRequest {
  const named = (prefix: string): (readonly [string, string])[] =>
    Object.entries(group)
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length).trim(), value] as const);
  const traits = (wanted: string): string[] =>
    named('trait:').flatMap(([name, value]) => (value.trim() === wanted ? [name] : []));
  return {
    resources: named('resources:').map(([resourceClass, value]) => ({
      resourceClass,
      count: Math.max(0, toInteger(value)),
    })),
    required: traits('required'),
    forbidden: traits('forbidden'),
    accel: Object.fromEntries(named('accel:')),
  };
}

function normalizeGroup(group: ProfileGroup, index: number): ProfileGroup {
  const entries = Object.entries(group).map(([key, value]) => {
    if (!keyPattern.test(key)) {
      throw invalid(
        index,
        `${key}: Device profile group keys must be of the form ^(resources:|trait:|accel:)`,
      );
    }
    if (key.startsWith('accel:')) return [key, value] as const;
    const colon = key.indexOf(':');
    const name = key.slice(colon + 1).trim();
    checkEntry({ kind: key.slice(0, colon), name, value, index });
    return [`${key.slice(0, colon)}:${name}`, value.trim()] as const;
  });
  const names = entries.map(([key]) => key);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw invalid(index, `${twice} is given twice.`);
  if (!names.some((name) => name.startsWith('resources:'))) {
    const given = names.length === 0 ? 'it is empty' : `it has only ${names.join(', ')}`;
    throw invalid(index, `${given}, so it asks for nothing: add resources:CLASS=N.`);
  }
  return Object.fromEntries(entries);
}

function checkEntry(entry: { kind: string; name: string; value: string; index: number }): void {
  const { kind, name, value, index } = entry;
  if (kind === 'trait') {
    if (!name.startsWith('CUSTOM_')) {
      throw invalid(index, `Unsupported trait name format ${name}, should start with CUSTOM_`);
    }
    if (!traitValues.includes(value.trim())) {
      throw invalid(
        index,
        `Unsupported trait value ${value}, the value must be one among ['required', 'forbidden']`,
      );
    }
    return;
  }
  if (!resourceClasses.includes(name) && !name.startsWith('CUSTOM_')) {
    throw invalid(index, `Unsupported resource class ${name}`);
  }
  if (!integerPattern.test(value)) throw invalid(index, `Resources number ${value} is invalid`);
  const amount = toInteger(value);
  if (amount >= 1 && amount <= amountMax) return;
  throw invalid(
    index,
    `Resources number ${value} is invalid: resources:${name} takes a whole number from 1 to ${amountMax}.`,
  );
}

function toInteger(text: string): number {
  return Number(text.trim().replaceAll('_', ''));
}

function invalid(index: number, message: string): ServiceError {
  return new ServiceError('invalid-input', `groups[${index}]: ${message}`);
}
