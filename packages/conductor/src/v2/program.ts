/** `PATCH /v2/deployables/{uuid}/program`: what it takes, and who does it. */
import type { Caller } from '@cyborg/model/caller';
import { V2Fault } from '@cyborg/model/v2/fault';
import { toUuid } from '@cyborg/model/v2/uuid';
import type { V2DeployableRow } from '@cyborg/store/v2/deployables';

import type { ConductorDeps } from '../deps.ts';

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
 * Has the deployable's driver write an image.
 *
 * No driver of this version announces `update` (driver protocol), so it is refused as upstream refuses what a driver
 * cannot do.
 *
 * @throws V2Fault 500
 */
export async function programDeployable(
  _deps: ConductorDeps,
  given: {
    readonly caller: Caller;
    readonly deployable: V2DeployableRow;
    readonly imageId: string;
  },
): Promise<void> {
  const { name, driver_id } = given.deployable;
  throw new V2Fault(
    500,
    `FPGA programming failed with return unsupported: driver ${driver_id} of deployable ${name} cannot write images.`,
  );
}
