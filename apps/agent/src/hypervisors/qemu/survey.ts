/** One look at all QMP sockets of a folder: who answers, who may be there, who is gone. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import { HypervisorError, type InstanceListing, type ObservedInstance } from '../hypervisor.ts';
import { messageOf } from '../node-error.ts';
import type { QmpDoor } from './door.ts';
import type { GuestFacts } from './facts.ts';
import { lookAt, type Look } from './look.ts';
import type { InstanceMemory } from './memory.ts';
import type { ProcessTarget, QemuProcesses } from '../processes.ts';

export const surveyLimits = { socketsMax: 512, socketsAtOnce: 16, warningsMax: 100 } as const;

export interface SurveyContext {
  readonly directory: string;
  readonly memory: InstanceMemory;
  readonly facts: GuestFacts;
  readonly plugs: readonly PlanKind[];
  readonly lookAtProcesses: () => Promise<QemuProcesses | null>;
  readonly isWatching: boolean;
  doorOf(socket: string): QmpDoor;
  /** Drops the doors of sockets that are not in the folder any more. */
  keepDoors(sockets: ReadonlySet<string>): void;
}

export interface Survey extends InstanceListing {
  readonly warnings: readonly string[];
  /** The socket of each instance that answered. */
  readonly socketOf: ReadonlyMap<string, string>;
}

type Looks = ReadonlyMap<string, Look>;

/** @throws HypervisorError `unavailable` when the folder cannot be trusted. */
export async function survey(context: SurveyContext, signal: AbortSignal): Promise<Survey> {
  const { memory } = context;
  await memory.checkFolder(context.lookAtProcesses);
  const sockets = await socketsIn(context.directory);
  context.keepDoors(new Set(sockets));
  const looks = await lookAtAll(context, sockets, signal);
  // The folder may have gone while we looked: then what was not found proves nothing.
  await memory.checkFolder(context.lookAtProcesses);
  const answered = whoAnswered(looks);
  const unknown = await whoMayBeThere(context, looks, answered.socketOf);
  await rememberAnswered(context, answered.socketOf);
  const saving = await memory.save();
  const beyond = Math.max(0, sockets.length - surveyLimits.socketsMax);
  const warnings = [
    ...warningsOf(looks, beyond),
    ...answered.warnings,
    ...(saving ? [saving] : []),
  ];
  return {
    instances: answered.instances,
    unknownIds: unknown.ids,
    unknownCount: unknown.ids.length + unknown.nameless,
    warnings: warnings.slice(0, surveyLimits.warningsMax),
    socketOf: answered.socketOf,
  };
}

async function socketsIn(directory: string): Promise<readonly string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => name.endsWith('.sock') || name.endsWith('.qmp'))
      .toSorted()
      .map((name) => join(directory, name));
  } catch (error) {
    const message = `The QMP folder ${directory} cannot be read: ${messageOf(error)}`;
    throw new HypervisorError('unavailable', message, { cause: error });
  }
}

async function lookAtAll(
  context: SurveyContext,
  sockets: readonly string[],
  signal: AbortSignal,
): Promise<Looks> {
  const { isWatching, facts, plugs } = context;
  const looks = new Map<string, Look>(
    sockets.map((socket) => [socket, { kind: 'silent', warning: null }]),
  );
  const queue = sockets.slice(0, surveyLimits.socketsMax).values();
  const worker = async (): Promise<void> => {
    for (const socket of queue) {
      const door = context.doorOf(socket);
      looks.set(socket, await lookAt({ socket, door, isWatching, facts, plugs }, signal));
    }
  };
  await Promise.all(Array.from({ length: surveyLimits.socketsAtOnce }, worker));
  return looks;
}

interface Answered {
  readonly instances: readonly ObservedInstance[];
  readonly socketOf: ReadonlyMap<string, string>;
  readonly warnings: readonly string[];
}

function whoAnswered(looks: Looks): Answered {
  const instances: ObservedInstance[] = [];
  const socketOf = new Map<string, string>();
  const warnings: string[] = [];
  for (const [socket, look] of looks) {
    if (look.kind !== 'answers') continue;
    const { id } = look.instance;
    const other = socketOf.get(id);
    if (other !== undefined) {
      warnings.push(`${socket} and ${other} have one UUID, ${id}: only ${other} is used.`);
      continue;
    }
    instances.push(look.instance);
    socketOf.set(id, socket);
  }
  return { instances, socketOf, warnings };
}

interface Unknown {
  readonly ids: readonly string[];
  /** Sockets behind which there may be an instance that was never seen. */
  readonly nameless: number;
}

/** Who did not answer but may be there. Who is certainly gone is forgotten here. */
async function whoMayBeThere(
  context: SurveyContext,
  looks: Looks,
  answered: ReadonlyMap<string, string>,
): Promise<Unknown> {
  const { memory } = context;
  const ids: string[] = [];
  const named = new Set<string>();
  let processes: QemuProcesses | null | undefined;
  const mayRun = async (target: ProcessTarget): Promise<boolean> => {
    processes ??= await context.lookAtProcesses();
    return processes?.holds(target) ?? true;
  };
  for (const [uuid, { socket }] of memory.known) {
    const kind = looks.get(socket)?.kind;
    if (kind !== 'answers') named.add(socket);
    if (answered.has(uuid)) continue;
    // A socket that answers as another instance says nothing about this one: only its process can.
    const target = { uuid, socket: kind === 'answers' ? null : socket };
    if (kind === 'silent' || (await mayRun(target))) ids.push(uuid);
    else memory.forget(uuid);
  }
  let nameless = 0;
  for (const [socket, { kind }] of looks) {
    if (named.has(socket) || kind === 'answers' || kind === 'ignored') continue;
    if (kind === 'silent' || (await mayRun({ socket, uuid: null }))) nameless += 1;
  }
  return { ids, nameless };
}

async function rememberAnswered(
  { memory, lookAtProcesses }: SurveyContext,
  answered: ReadonlyMap<string, string>,
): Promise<void> {
  const isNew = ([uuid, socket]: [string, string]): boolean =>
    memory.known.get(uuid)?.socket !== socket;
  const fresh = [...answered].filter(isNew);
  if (fresh.length === 0) return;
  const processes = await lookAtProcesses();
  for (const [uuid, socket] of fresh) {
    memory.remember(uuid, { socket, has_process: processes?.holds({ socket, uuid }) ?? false });
  }
}

function warningsOf(looks: Looks, beyond: number): readonly string[] {
  const warnings = [...looks.values()].flatMap((look) =>
    look.kind === 'dead' || look.warning === null ? [] : [look.warning],
  );
  if (beyond === 0) return warnings;
  const text = `The QMP folder has more than ${surveyLimits.socketsMax} sockets; ${beyond} were not looked at:`;
  return [`${text} use several folders.`, ...warnings];
}
