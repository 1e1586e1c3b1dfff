/** `PATCH /v2/deployables/{uuid}/program`: what it takes, and who does it. */
import type { Caller } from '@cyborg/model/caller';
import { V2Fault } from '@cyborg/model/v2/fault';
import { findProgramming } from '@cyborg/store/programs';
import { toUuid } from '@cyborg/model/v2/uuid';
import type { V2DeployableRow } from '@cyborg/store/v2/deployables';

import type { ConductorDeps } from '../deps.ts';
import { resolveImage } from '../programs/resolve-image.ts';
import { startProgramming } from '../programs/start.ts';
import { makeWaiter } from '../waiter.ts';

const internal = ['created_at', 'id', 'links', 'updated_at', 'uuid', 'name', 'num_accelerators'];
const operations = ['add', 'replace', 'remove'];

/**
 * Path and op are checked, then not looked at further: the value says which image.
 *
 * @returns the image's id.
 * @throws V2Fault 400
 */
export function parseProgramPatch(body: unknown): string {
  if (!Array.isArray(body)) throw invalid('program_info', body, 'a list of patches is needed');
  for (const patch of body) checkPatch(patch);
  const [image] = body.flatMap((patch: unknown) => imagesOf(patch));
  if (image === undefined) {
    throw invalid('program_info', body, 'give [{"image_uuid": "<uuid>"}] as the value of a patch');
  }
  return image;
}

function checkPatch(patch: unknown): void {
  if (!isRecord(patch)) throw invalid('program_info', patch, 'a patch is an object');
  const { path, op, value } = patch;
  if (path === undefined) throw new V2Fault(400, 'Missing argument: "path"');
  if (typeof path !== 'string' || !/^(\/[\w-]+)+$/.test(path)) {
    throw invalid('path', path, 'Value should match the pattern ^(/[\\w-]+)+$');
  }
  if (internal.includes(path.split('/')[1] ?? '')) {
    throw new V2Fault(400, `'${path}' is an internal attribute and can not be updated`);
  }
  if (typeof op !== 'string' || !operations.includes(op)) {
    throw invalid('op', op, `Value should be one of: ${operations.join(', ')}`);
  }
  if (op !== 'remove' && (value === undefined || value === null || value === '')) {
    throw new V2Fault(400, "'add' and 'replace' operations need a value");
  }
}

function imagesOf(patch: unknown): string[] {
  if (!isRecord(patch) || !Array.isArray(patch['value'])) return [];
  return patch['value'].map((item: unknown) => {
    const image = isRecord(item) ? item['image_uuid'] : undefined;
    const uuid = typeof image === 'string' ? toUuid(image) : undefined;
    if (uuid === undefined) throw invalid('image_uuid', image, 'Expected a uuid');
    return uuid;
  });
}

function invalid(field: string, value: unknown, why: string): V2Fault {
  const shown = (JSON.stringify(value) ?? 'None').slice(0, 200);
  return new V2Fault(400, `Invalid input for field/attribute ${field}. Value: '${shown}'. ${why}`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Has the deployable's driver write an image, and waits for the end, at most `programInlineSeconds`.
 *
 * @throws V2Fault 404, 400 or 503 for the image; 409 while the card is held; 500 when it could not be written, or takes
 * longer: then it goes on.
 */
export async function programDeployable(
  deps: ConductorDeps,
  given: {
    readonly caller: Caller;
    readonly deployable: V2DeployableRow;
    readonly imageId: string;
  },
): Promise<void> {
  const { caller, deployable, imageId } = given;
  const over = new AbortController();
  const seconds = deps.limits.programInlineSeconds;
  using _timer = deps.clock.setTimer(seconds * 1000, () => over.abort());
  const image = await resolveImage(deps, { by: 'image', id: imageId }, over.signal);
  using waiter = makeWaiter(deps, 'programs');
  const id = await startProgramming(deps, {
    deployableId: deployable.id,
    image,
    by: { userId: caller.userId, projectId: caller.projectId },
  });
  for (;;) {
    const row = await findProgramming(deps.db, id);
    if (row === undefined || row.state === 'succeeded') return;
    if (row.state === 'failed') {
      throw new V2Fault(500, `FPGA programming failed with return ${row.reason ?? 'no reason'}`);
    }
    if (over.signal.aborted) {
      throw new V2Fault(
        500,
        `Timed out waiting ${seconds} s for deployable ${deployable.name} to be programmed (${row.state}, ${row.progress_percent} %); it goes on.`,
      );
    }
    await waiter.wait(over.signal);
  }
}
