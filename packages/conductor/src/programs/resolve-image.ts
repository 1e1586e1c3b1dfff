/** Finds in Glance what is to be written. */
import type { GlanceClient, GlanceImage } from '@cyborg/openstack/glance';
import { OpenStackError } from '@cyborg/openstack/errors';
import { V2Fault } from '@cyborg/model/v2/fault';

import type { ConductorDeps } from '../deps.ts';
import type { ProgramImage } from './begin.ts';

/** Property of an image that says what it makes of a card. */
const functionProperty = 'accel:function_id';
const lookUpMs = 10_000;

export type WantedImage =
  | { readonly by: 'image'; readonly id: string }
  | { readonly by: 'function'; readonly id: string };

/**
 * @throws V2Fault 404 for an image that is not there, 409 for several of one function, 400 for one that cannot be
 * written, 503 without Glance.
 */
export async function resolveImage(
  deps: Pick<ConductorDeps, 'openstack' | 'limits'>,
  wanted: WantedImage,
  signal: AbortSignal,
): Promise<ProgramImage> {
  const glance = deps.openstack?.glance;
  if (glance === undefined) {
    throw new V2Fault(
      503,
      `Image ${wanted.id} cannot be fetched: this server has no Glance. Give it Keystone's address (--keystone-url).`,
    );
  }
  const image = await lookUp(glance, wanted, signal);
  checkImage(image, deps.limits.programImageBytesMax);
  return {
    imageId: image.id,
    name: image.name ?? image.id,
    functionId: image.properties[functionProperty] ?? null,
    stagedImageId: null,
  };
}

async function lookUp(
  glance: GlanceClient,
  wanted: WantedImage,
  signal: AbortSignal,
): Promise<GlanceImage> {
  const call = { signal, timeoutMs: lookUpMs };
  try {
    if (wanted.by === 'image') {
      const image = await glance.getImage(wanted.id, call);
      if (image === undefined) throw imageNotFound(`with uuid=${wanted.id}`);
      return image;
    }
    const filter = { property: functionProperty, value: wanted.id, limit: 2 };
    const [image, other] = await glance.findImages(filter, call);
    if (image === undefined) throw imageNotFound(`with ${functionProperty}=${wanted.id}`);
    if (other === undefined) return image;
    throw new V2Fault(
      409,
      `Images ${image.id} and ${other.id} both have ${functionProperty}=${wanted.id}: name one by accel:bitstream_id, or take the property from the other.`,
    );
  } catch (error) {
    // Away, or not set up as it should be: its message says which, and the way out.
    if (error instanceof OpenStackError) throw new V2Fault(503, error.message, { cause: error });
    throw error;
  }
}

function imageNotFound(how: string): V2Fault {
  return new V2Fault(404, `Image not found ${how}`);
}

function checkImage({ id, status, size }: GlanceImage, bytesMax: number): void {
  if (status !== 'active') {
    throw new V2Fault(400, `Image ${id} is ${status}: only an active image can be written.`);
  }
  if (size !== null && size <= bytesMax) return;
  throw new V2Fault(
    400,
    `Image ${id} has ${size ?? 'an unknown number of'} bytes: at most ${bytesMax} can be written.`,
  );
}
