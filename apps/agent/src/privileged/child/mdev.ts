/** Mediated devices, by the kernel's mdev_supported_types. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { ActDone } from '../act-order.ts';
import type { HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';
import { writeAttribute } from './sysfs-write.ts';

const nothing: ActDone = { result: {} };

export function makeMdev(host: HostView): Promise<ActDone> {
  const { path, address } = host.target;
  const { type: askedType, uuid: askedUuid } = host.order.params;
  const [type, uuid] = [String(askedType), String(askedUuid)];
  checkType(type);
  checkUuid(uuid);
  const present = host.reader.linkName(`${path}/${uuid}/mdev_type`);
  if (present === type) return Promise.resolve(nothing);
  if (present !== undefined) {
    throw new RefusedAct('invalid', `${uuid} of ${address} is of type ${present}, not ${type}.`);
  }
  // Its kernel driver divides it between the host and guests: what else the host does with it may go on.
  requireNotGiven(host, host.target);
  const folder = `${path}/mdev_supported_types/${type}`;
  if (!host.reader.exists(folder)) {
    throw new RefusedAct('unsupported', `${address} has no mediated type ${type}.`);
  }
  // Where its driver does not say how many there may be, the write below tells.
  const free = host.reader.integer(`${folder}/available_instances`);
  if (free !== undefined && free < 1) {
    throw new RefusedAct('transient', `${address} has no free instance of ${type} now.`);
  }
  writeAttribute(`${folder}/create`, uuid);
  return Promise.resolve(nothing);
}

export async function removeMdev(host: HostView): Promise<ActDone> {
  const { path, address } = host.target;
  const uuid = String(host.order.params['uuid']);
  checkUuid(uuid);
  if (!host.reader.exists(`${path}/${uuid}`)) return nothing;
  const holder = await findHolder(host, `${path}/${uuid}`);
  if (holder !== undefined) {
    throw new RefusedAct('transient', `${uuid} of ${address} is not removed: ${holder}.`);
  }
  writeAttribute(`${path}/${uuid}/remove`, '1');
  return nothing;
}

/** As a whole: by its driver, or by the note of an act that has not ended. */
function requireNotGiven(host: HostView, fn: PciFunction): void {
  const { address, driver } = fn;
  const isNoted = (host.bindingOf(fn)?.heldFor ?? []).length > 0;
  if (!isNoted && driver !== undefined && !driver.includes('vfio')) return;
  throw new RefusedAct(
    'host-use',
    `${address} is not divided: it is given whole, or has no kernel driver that could (${driver ?? 'none'}).`,
  );
}

async function findHolder(host: HostView, folder: string): Promise<string | undefined> {
  const { reader } = host;
  const group = reader.linkName(`${folder}/iommu_group`);
  // Its own node, which newer kernels have beside the group's (iommufd).
  const own = (reader.names(`${folder}/vfio-dev`) ?? []).flatMap(
    (name) => reader.text(`${folder}/vfio-dev/${name}/dev`) ?? [],
  );
  const nodes = own.map((number) => `c${number}`);
  return await host.findHolderOf([
    ...(group === undefined ? [] : [`/dev/vfio/${group}`]),
    ...nodes,
  ]);
}

/** The kernel's names of types may have dots: `i915-GVTg_V5_4`, `nvidia-35`. */
function checkType(type: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/u.test(type)) return;
  throw new RefusedAct('invalid', `${JSON.stringify(type)} is no mediated type.`);
}

function checkUuid(uuid: string): void {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u.test(uuid)) return;
  throw new RefusedAct('invalid', `${JSON.stringify(uuid)} is no UUID.`);
}
