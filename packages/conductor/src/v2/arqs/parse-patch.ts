/** The body of v2's PATCH: what is to be bound to what, and what is to be unbound. Checks in upstream's order. */
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { accessDenied, V2Fault } from '@cyborg/model/v2/fault';
import { parseUuid } from '@cyborg/model/v2/uuid';

export interface Binding {
  /** As it was given. */
  readonly arq: string;
  readonly hostname: string;
  /** As it was given. */
  readonly rpUuid: string;
  readonly instanceId: string;
  /** undefined: the caller's. */
  readonly projectId: string | undefined;
}

export interface ArqPatch {
  readonly bind: readonly Binding[];
  /** As they were given. */
  readonly unbind: readonly string[];
}

export interface PatchRequest {
  readonly caller: Caller;
  readonly body: unknown;
  /** The microversion is 2.`minor`. */
  readonly minor: number;
  readonly arqsMax: number;
}

interface Change {
  readonly op: string;
  readonly path: string;
  readonly value: unknown;
}

const neededPaths = ['hostname', 'device_rp_uuid', 'instance_uuid'] as const;
const hostnameCharsMax = 255;
const projectIdCharsMax = 255;
/** From here on `/project_id` may be given. */
const projectIdMinor = 1;

/** @throws V2Fault 400, 403 or 406, saying what is wrong with it. */
export function parsePatch(request: PatchRequest): ArqPatch {
  const { body, arqsMax } = request;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badPatch('The body must be an object: accelerator request → list of patches');
  }
  const entries = Object.entries(body);
  if (entries.length === 0) throw badPatch('No accelerator request is named');
  if (entries.length > arqsMax) {
    throw badPatch(`${entries.length} accelerator requests are named; at most ${arqsMax} may be`);
  }
  const bind: Binding[] = [];
  const unbind: string[] = [];
  for (const [arq, patches] of entries) {
    const changes = parseChanges(arq, patches);
    if (checkChanges(changes, request) === 'add') bind.push(toBinding(arq, changes));
    else unbind.push(arq);
  }
  return { bind, unbind };
}

function parseChanges(arq: string, patches: unknown): Change[] {
  if (!Array.isArray(patches) || patches.length === 0) {
    throw badPatch(`${arq.slice(0, 80)} needs a list of patches`);
  }
  return patches.map((patch: unknown) => {
    if (typeof patch !== 'object' || patch === null || !('op' in patch) || !('path' in patch)) {
      throw badPatch('Every patch needs op and path');
    }
    const { op, path } = patch;
    if (typeof op !== 'string' || typeof path !== 'string') {
      throw badPatch('op and path must be texts');
    }
    return { op, path, value: 'value' in patch ? patch.value : undefined };
  });
}

function checkChanges(
  changes: readonly Change[],
  { caller, minor }: PatchRequest,
): 'add' | 'remove' {
  const ops = new Set(changes.map(({ op }) => op));
  const [op] = ops;
  if (ops.size !== 1 || (op !== 'add' && op !== 'remove')) {
    throw badPatch('Every op must be add or remove');
  }
  const paths = changes.map(({ path }) => path);
  if (paths.includes('/project_id')) checkMayMove(caller, minor);
  const known = ['/project_id', ...neededPaths.map((name) => `/${name}`)];
  const unknown = paths.find((path) => !known.includes(path));
  if (unknown !== undefined) {
    throw new V2Fault(400, `Invalid path in patch ${unknown.slice(0, 200)}`);
  }
  if (op === 'remove') return op;
  const absent = neededPaths.filter((name) => !paths.includes(`/${name}`));
  if (absent.length > 0) throw new V2Fault(400, `Fields absent in patch ${absent.join(',')}`);
  return op;
}

function checkMayMove(caller: Caller, minor: number): void {
  if (minor < projectIdMinor) {
    throw new V2Fault(
      406,
      `Request not acceptable. The minimal required API version should be 2.${projectIdMinor}`,
    );
  }
  if (!isAdmin(caller)) throw accessDenied('cyborg:arq:update');
}

function toBinding(arq: string, changes: readonly Change[]): Binding {
  const value = (name: string): unknown =>
    changes.findLast(({ path }) => path === `/${name}`)?.value;
  const projectId = value('project_id');
  return {
    arq,
    hostname: text(value('hostname'), 'hostname', hostnameCharsMax),
    rpUuid: text(value('device_rp_uuid'), 'device_rp_uuid', 64),
    instanceId: parseUuid(text(value('instance_uuid'), 'instance_uuid', 64), 'instance_uuid'),
    projectId:
      projectId === undefined ? undefined : text(projectId, 'project_id', projectIdCharsMax),
  };
}

function text(value: unknown, field: string, charsMax: number): string {
  if (typeof value === 'string' && value !== '' && value.length <= charsMax) return value;
  throw badPatch(`${field} must be a text of 1 to ${charsMax} characters`);
}

export function badPatch(reason: string): V2Fault {
  return new V2Fault(400, `Couldn't apply patch. Reason: ${reason}`);
}
