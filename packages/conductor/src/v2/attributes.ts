import type { Caller } from '@cyborg/model/caller';
import { V2Fault, notFound } from '@cyborg/model/v2/fault';
import { parseUuid, toUuid } from '@cyborg/model/v2/uuid';
import {
  deleteAttribute,
  findAttribute,
  findDeployableByNumber,
  insertAttribute,
  streamAttributes,
  type V2AttributeRow,
} from '@cyborg/store/v2/attributes';

import type { ConductorDeps, Db } from '../deps.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import type { Query } from './filters.ts';

export interface V2AttributeHandlers {
  readonly listAttributes: (query: Query) => AsyncIterable<readonly V2AttributeRow[]>;
  /** @throws V2Fault 400 for what is no UUID, 404. */
  readonly showAttribute: (id: string) => Promise<V2AttributeRow>;
  /** An operator's: reports of the driver leave it alone. @throws V2Fault */
  readonly createAttribute: (caller: Caller, body: unknown) => Promise<V2AttributeRow>;
  /** @throws V2Fault 404, for what is no UUID too. */
  readonly deleteAttribute: (caller: Caller, id: string) => Promise<void>;
}

export function makeV2AttributeHandlers(deps: ConductorDeps): V2AttributeHandlers {
  return {
    listAttributes: (query) =>
      streamAttributes(deps.db, { deployable: numberIn(query), key: query['key'] }),
    async showAttribute(id) {
      const row = await findAttribute(deps.db, parseUuid(id, 'uuid'));
      if (row === undefined) throw missing(id);
      return row;
    },
    createAttribute(caller, body) {
      const wanted = parseAttribute(body);
      return act(deps, (running) => create(running, deps, { caller, wanted }));
    },
    deleteAttribute: (caller, id) => act(deps, (running) => remove(running, caller, id)),
  };
}

interface NewAttribute {
  readonly deployable: number;
  readonly key: string;
  readonly value: string;
  readonly uuid: string | undefined;
}

const integerMax = 2_147_483_647;

function numberIn({ deployable_id: text }: Query): number | undefined {
  if (text === undefined) return undefined;
  const number = /^\s*[+-]?\d{1,10}\s*$/.test(text) ? Number(text) : Number.NaN;
  if (!(Math.abs(number) <= integerMax)) {
    throw new V2Fault(
      400,
      `Invalid input for field/attribute deployable_id. Value: '${text}'. unable to convert to int`,
    );
  }
  return number === 0 ? undefined : number; // 0 counts as absent, as upstream has it
}

/** @throws V2Fault 400 naming the field. */
function parseAttribute(body: unknown): NewAttribute {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new V2Fault(400, 'An attribute is an object with deployable_id, key and value.');
  }
  const fields = new Map<string, unknown>(Object.entries(body));
  const uuid = fields.get('uuid') ?? undefined;
  return {
    deployable: integerIn(fields),
    key: textIn(fields, 'key'),
    value: textIn(fields, 'value'),
    uuid: uuid === undefined ? undefined : uuidIn(uuid),
  };
}

function integerIn(fields: ReadonlyMap<string, unknown>): number {
  const given = fields.get('deployable_id');
  const number = typeof given === 'string' && /^\d{1,10}$/.test(given) ? Number(given) : given;
  if (typeof number === 'number' && Number.isInteger(number) && Math.abs(number) <= integerMax) {
    return number;
  }
  throw invalid('deployable_id', given, 'an integer is needed');
}

const textCharsMax = 255;

function textIn(fields: ReadonlyMap<string, unknown>, name: string): string {
  const given = fields.get(name);
  const text = typeof given === 'number' ? String(given) : given;
  if (typeof text === 'string' && text.length <= textCharsMax) return text;
  throw invalid(name, given, `a text of at most ${textCharsMax} characters is needed`);
}

function uuidIn(given: unknown): string {
  const uuid = typeof given === 'string' ? toUuid(given) : undefined;
  if (uuid === undefined) throw new V2Fault(400, `Expected a uuid but received ${String(given)}.`);
  return uuid;
}

function invalid(field: string, value: unknown, why: string): V2Fault {
  const shown = (JSON.stringify(value) ?? 'None').slice(0, 200);
  return new V2Fault(400, `Invalid input for field/attribute ${field}. Value: '${shown}'. ${why}`);
}

async function create(
  running: Act,
  { rng }: Pick<ConductorDeps, 'rng'>,
  { caller, wanted }: { readonly caller: Caller; readonly wanted: NewAttribute },
): Promise<V2AttributeRow> {
  const { tx, now } = running;
  const deployableId = await findDeployableByNumber(tx, wanted.deployable);
  if (deployableId === undefined) throw notFound('Deployable', `with id=${wanted.deployable}`);
  const id = wanted.uuid ?? rng.uuid();
  const { key, value } = wanted;
  const row = { id, deployable_id: deployableId, key, value, is_operators: true, created_at: now };
  if (!(await insertAttribute(tx, row))) {
    throw new V2Fault(409, `Attribute with uuid ${id} already exists.`);
  }
  await recordEvents(running, [eventOf('attribute.created', { id, key, value }, caller)]);
  running.wakeUps.add('work');
  return found(tx, id);
}

async function remove(running: Act, caller: Caller, given: string): Promise<void> {
  const id = toUuid(given);
  const row = id === undefined ? undefined : await findAttribute(running.tx, id);
  if (row === undefined || !(await deleteAttribute(running.tx, row.id))) throw missing(given);
  await recordEvents(running, [eventOf('attribute.deleted', row, caller)]);
  running.wakeUps.add('work');
}

async function found(db: Db, id: string): Promise<V2AttributeRow> {
  const row = await findAttribute(db, id);
  if (row === undefined) throw missing(id);
  return row;
}

function missing(id: string): V2Fault {
  return notFound('Attribute', `with uuid=${id}`);
}

function eventOf(
  kind: NewEvent['kind'],
  { id, key, value }: { readonly id: string; readonly key: string; readonly value: string },
  caller: Caller,
): Parameters<typeof recordEvents>[1][number] {
  const data = { key, value };
  return { kind, subjectKind: 'attribute', subjectId: id, userId: caller.userId, data };
}
