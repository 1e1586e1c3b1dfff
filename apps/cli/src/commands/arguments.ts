/** Forms of arguments that several commands share. */
import { all, type V3Client } from '@cyborg/api-client/v3';
import { nearestHint } from '@cyborg/model/nearest';

import { CliError, UsageError } from '../errors.ts';

export const limitFlag = {
  type: 'integer',
  placeholder: 'N',
  min: 1,
  max: 1_000_000,
  help: 'at most this many',
} as const;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Every item, or the first `limit`. */
export async function take<T>(
  items: AsyncIterable<T>,
  limit: number | undefined,
): Promise<readonly T[]> {
  const taken: T[] = [];
  if (limit === 0) return taken;
  for await (const item of items) {
    taken.push(item);
    if (taken.length === limit) break;
  }
  return taken;
}

/** `KEY=VALUE` → [KEY, VALUE]; VALUE may hold further equal signs. */
export function splitPair(flag: string, text: string): [key: string, value: string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new UsageError(`${flag} '${text}' is not KEY=VALUE.`);
}

/** Labels, or undefined when none is given. */
export function toLabels(texts: readonly string[]): Record<string, string> | undefined {
  if (texts.length === 0) return undefined;
  return Object.fromEntries(texts.map((text) => splitPair('--label', text)));
}

/** VALUE is JSON when it is valid JSON, else a text: `n=4`, `on=true`, `rules=[{"vendor":"0x10de"}]`, `name=x`. */
export function toConfig(texts: readonly string[]): Record<string, unknown> | undefined {
  if (texts.length === 0) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const [key, value] = splitPair('--config', text);
      return [key, toJsonOrText(value)];
    }),
  );
}

function toJsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** One value that may be given as an argument or as a flag of the same meaning. */
export function oneOf(
  argument: string | undefined,
  flag: string | undefined,
  name: string,
): string {
  if (argument !== undefined && flag !== undefined && argument !== flag) {
    throw new UsageError(`'${argument}' and --${name} '${flag}' are both given; give one.`);
  }
  const value = argument ?? flag;
  if (value === undefined) throw new UsageError(`Name the ${name}: --${name} is missing.`);
  return value;
}

/** Accelerators go by id; people may use a name that only one of those they see has. */
export async function accelerator(
  api: Pick<V3Client, 'listAccelerators'>,
  idOrName: string,
): Promise<string> {
  const lower = idOrName.toLowerCase();
  if (uuidPattern.test(lower)) return lower;
  const everything = await take(all(api.listAccelerators, {}), undefined);
  const named = everything.filter(({ name }) => name === idOrName);
  const [first, second] = named;
  if (first !== undefined && second === undefined) return first.id;
  if (first !== undefined) {
    const ids = named.map(({ id, host }) => `${id} on ${host}`).join(', ');
    throw new CliError(`${named.length} accelerators are named '${idOrName}': ${ids}. Use an id.`);
  }
  const names = [...new Set(everything.map(({ name }) => name))];
  const none =
    'you see none: what is free on the host of an instance of yours is named by attach-instance';
  const hint = nearestHint(idOrName, names, none);
  throw new CliError(`No accelerator has the id or name '${idOrName}'; ${hint}.`);
}

/** The API filters by an instance's id; people may use its name. */
export async function instanceId(
  api: Pick<V3Client, 'showInstance'>,
  idOrName: string | undefined,
): Promise<string | undefined> {
  if (idOrName === undefined || uuidPattern.test(idOrName)) return idOrName;
  const instance = await api.showInstance({ params: { instance_id: idOrName } });
  return instance.id;
}

export const statusFlags = {
  enable: { type: 'boolean', help: 'same as --status enabled' },
  disable: { type: 'boolean', help: 'same as --status disabled' },
  status: {
    type: 'string',
    placeholder: 'STATUS',
    choices: ['enabled', 'disabled'],
    help: 'whether it gives out anything new',
  },
} as const;

type Status = 'enabled' | 'disabled';

export function toStatus(flags: {
  readonly enable: boolean;
  readonly disable: boolean;
  readonly status: Status | undefined;
}): Status | undefined {
  const given: Status[] = [];
  if (flags.enable) given.push('enabled');
  if (flags.disable) given.push('disabled');
  if (flags.status !== undefined) given.push(flags.status);
  const [first] = given;
  if (given.every((status) => status === first)) return first;
  throw new UsageError('Both enabled and disabled are given; give one.');
}

export function requireStatus(flags: Parameters<typeof toStatus>[0]): Status {
  const status = toStatus(flags);
  if (status === undefined) throw new UsageError('Nothing to change: add --enable or --disable.');
  return status;
}

/** Refuses an update that changes nothing, before the server does. */
export function requireChange(body: object, flags: string): void {
  if (Object.values(body).some((value) => value !== undefined)) return;
  throw new UsageError(`Nothing to change: give at least one of ${flags}.`);
}
