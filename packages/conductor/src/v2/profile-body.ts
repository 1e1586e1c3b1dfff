/** What `POST /v2/device_profiles` takes, checked in upstream's order and refused in its words. */
import { V2Fault } from '@cyborg/model/v2/fault';
import { toUuid } from '@cyborg/model/v2/uuid';
import type { ProfileGroup } from '@cyborg/store/schema';

export interface NewV2Profile {
  readonly uuid: string | undefined;
  readonly name: string;
  readonly description: string | null;
  readonly groups: readonly ProfileGroup[];
}

const namePattern = /^[a-zA-Z0-9-_]+$/;
const nameCharsMax = 255;
const keyPattern = /^(resources:|trait:|accel:)/;
const standardClasses = ['FPGA', 'GPU', 'VGPU', 'PGPU', 'CUSTOM_QAT', 'CUSTOM_NIC', 'CUSTOM_SSD'];
const traitValues = ['required', 'forbidden'];
/** What Python's int() reads. */
const integerPattern = /^\s*[+-]?\d+(_\d+)*\s*$/;

type Fields = ReadonlyMap<string, unknown>;

/** @throws V2Fault 400, and 500 where upstream's clients expect it. */
export function parseV2Profile(body: unknown): NewV2Profile {
  const given: readonly unknown[] = Array.isArray(body) ? body : [];
  if (given.length !== 1) {
    throw new V2Fault(400, 'Only one device profile allowed per POST request for now.');
  }
  const fields = fieldsOf(given[0]);
  if (fields === undefined) throw new V2Fault(400, 'A device profile is an object.');
  const name = nameIn(fields);
  const groups = groupsIn(fields);
  return { name, groups, uuid: uuidIn(fields), description: descriptionIn(fields) };
}

function nameIn(fields: Fields): string {
  const name = fields.get('name');
  if (name === undefined || name === null || name === '') {
    throw new V2Fault(500, 'DeviceProfile name needed.');
  }
  if (typeof name !== 'string' || !namePattern.test(name)) {
    throw new V2Fault(400, 'Device profile name must be of the form ^[a-zA-Z0-9-_]+$');
  }
  if (name.length > nameCharsMax) {
    throw new V2Fault(
      500,
      `Remote error: DBDataError Data too long for column 'name': a name has at most ${nameCharsMax} characters.`,
    );
  }
  return name;
}

function groupsIn(fields: Fields): ProfileGroup[] {
  const groups = fields.get('groups');
  if (groups === undefined || groups === null || (Array.isArray(groups) && groups.length === 0)) {
    throw new V2Fault(400, 'DeviceProfile needs groups field.');
  }
  if (!Array.isArray(groups))
    throw new V2Fault(400, 'DeviceProfile groups must be a list of objects.');
  return groups.map((group: unknown) => {
    const entries = fieldsOf(group);
    if (entries === undefined) {
      throw new V2Fault(400, 'DeviceProfile groups must be a list of objects.');
    }
    return toGroup(entries);
  });
}

/** A key whose name had blanks around it moves to the end, as upstream rewrites it. */
function toGroup(entries: Fields): ProfileGroup {
  const kept: [string, string][] = [];
  const rewritten: [string, string][] = [];
  for (const [key, value] of entries) {
    const entry = toEntry(key, value);
    (entry[0] === key ? kept : rewritten).push(entry);
  }
  return Object.fromEntries([...kept, ...rewritten]);
}

function toEntry(key: string, value: unknown): [string, string] {
  if (!keyPattern.test(key)) {
    throw new V2Fault(
      400,
      'Device profile group keys must be of the form ^(resources:|trait:|accel:)',
    );
  }
  if (key.startsWith('accel:')) return [key, textOf(value)];
  const colon = key.indexOf(':');
  const name = key.slice(colon + 1).trim();
  const checked = key.startsWith('trait:') ? traitValue(name, value) : amount(name, value);
  return [`${key.slice(0, colon)}:${name}`, checked];
}

function traitValue(name: string, value: unknown): string {
  if (!name.startsWith('CUSTOM_')) {
    throw new V2Fault(400, `Unsupported trait name format ${name}, should start with CUSTOM_`);
  }
  if (typeof value === 'string' && traitValues.includes(value)) return value;
  throw new V2Fault(
    400,
    `Unsupported trait value ${textOf(value)}, the value must be one among ['required', 'forbidden']`,
  );
}

function amount(name: string, value: unknown): string {
  if (!standardClasses.includes(name) && !name.startsWith('CUSTOM_')) {
    throw new V2Fault(400, `Unsupported resource class ${name}`);
  }
  if (typeof value === 'number') {
    const whole = Math.trunc(value);
    if (Number.isSafeInteger(whole)) return String(whole);
    throw invalidAmount(String(value)); // JSON has no word for Infinity
  }
  if (typeof value === 'string' && integerPattern.test(value)) {
    if (Number.isSafeInteger(Number(value.replaceAll('_', '')))) return value;
  }
  throw invalidAmount(textOf(value));
}

function invalidAmount(shown: string): V2Fault {
  return new V2Fault(400, `Resources number ${shown} is invalid`);
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function uuidIn(fields: Fields): string | undefined {
  const given = fields.get('uuid');
  if (given === undefined || given === null) return undefined;
  const uuid = typeof given === 'string' ? toUuid(given) : undefined;
  if (uuid === undefined) throw new V2Fault(400, `Expected a uuid but received ${textOf(given)}.`);
  return uuid;
}

function descriptionIn(fields: Fields): string | null {
  const given = fields.get('description');
  if (given === undefined || given === null) return null;
  if (typeof given === 'string') return given;
  throw new V2Fault(400, 'The description of a device profile is a text.');
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? new Map(Object.entries(value))
    : undefined;
}
