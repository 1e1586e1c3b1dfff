/**
 * One privileged act, in a process of its own: looks once more at what the host uses, writes, answers, ends. Answers null
 * when done, `{hostUse}` when refused, or a sentence.
 */
import { existsSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';

interface Act {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly sysfs: string;
}

class HostUse extends Error {}

process.once('message', (message) => {
  // The parent is our own code and has checked the fields against the protocol.
  const act = message as Act;
  let answer: unknown = null;
  try {
    perform(act);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    answer = error instanceof HostUse ? { hostUse: text } : text;
  }
  process.send?.(answer, () => process.disconnect());
});

function perform({ method, params, sysfs }: Act): void {
  const address = String(params['address']);
  const folder = join(sysfs, 'bus', 'pci', 'devices', address);
  if (!existsSync(folder)) throw new Error(`There is no function ${address} in ${sysfs}.`);
  refuseHostUse(folder, address);
  switch (method) {
    case 'bind':
      return bind(sysfs, { folder, address, driver: String(params['kernel_driver']) });
    case 'unbind':
      return unbind(folder, address);
    case 'reset':
      return write(join(folder, 'reset'), '1');
    case 'setVfCount':
      return setVfCount(folder, Number(params['count']));
    case 'makeMdev':
      return makeMdev(folder, String(params['type']), String(params['uuid']));
    case 'removeMdev':
      return removeMdev(sysfs, { folder, uuid: String(params['uuid']) });
    default:
      throw new Error(`There is no act ${method}.`);
  }
}

/** Fails closed: what looks as if the host could use it is refused, also when a look fails. */
function refuseHostUse(folder: string, address: string): void {
  if (readIfThere(join(folder, 'boot_vga')) === '1') {
    throw new HostUse(`${address} is the boot display.`);
  }
  for (const kind of ['net', 'block', 'nvme', 'sound', 'usb1', 'drm', 'infiniband']) {
    const names = listIfThere(join(folder, kind));
    if (names.length === 0) continue;
    if (kind === 'net' && names.every((name) => isDown(join(folder, 'net', name)))) continue;
    throw new HostUse(`${address} has ${kind} ${names.join(', ')} on this host.`);
  }
}

function isDown(net: string): boolean {
  const flags = Number(readIfThere(join(net, 'flags')) ?? '1');
  return (flags & 1) === 0 && !existsSync(join(net, 'master'));
}

function bind(
  sysfs: string,
  { folder, address, driver }: { folder: string; address: string; driver: string },
): void {
  checkName(driver);
  if (driverOf(folder) === driver) return;
  write(join(folder, 'driver_override'), driver);
  unbind(folder, address);
  write(join(sysfs, 'bus', 'pci', 'drivers_probe'), address);
  if (driverOf(folder) !== driver) throw new Error(`${address} did not bind to ${driver}.`);
}

function unbind(folder: string, address: string): void {
  if (driverOf(folder) !== undefined) write(join(folder, 'driver', 'unbind'), address);
}

function setVfCount(folder: string, count: number): void {
  const total = Number(readFileSync(join(folder, 'sriov_totalvfs'), 'utf8'));
  if (!(count >= 0 && count <= total)) throw new Error(`count is ${count}; 0 to ${total} fit.`);
  const current = Number(readFileSync(join(folder, 'sriov_numvfs'), 'utf8'));
  if (current === count) return;
  for (let vf = 0; vf < current; vf += 1) {
    const bound = driverOf(join(folder, `virtfn${vf}`));
    if (bound !== undefined) throw new HostUse(`Virtual function ${vf} is bound to ${bound}.`);
  }
  if (current !== 0) write(join(folder, 'sriov_numvfs'), '0');
  if (count !== 0) write(join(folder, 'sriov_numvfs'), String(count));
}

function makeMdev(folder: string, type: string, uuid: string): void {
  checkName(type);
  checkUuid(uuid);
  if (existsSync(join(folder, uuid))) return;
  write(join(folder, 'mdev_supported_types', type, 'create'), uuid);
}

function removeMdev(sysfs: string, { folder, uuid }: { folder: string; uuid: string }): void {
  checkUuid(uuid);
  if (!existsSync(join(folder, uuid))) return;
  write(join(sysfs, 'bus', 'mdev', 'devices', uuid, 'remove'), '1');
}

function checkName(name: string): void {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name)) throw new Error(`${JSON.stringify(name)} is no name.`);
}

function checkUuid(uuid: string): void {
  if (!/^[0-9a-f-]{36}$/.test(uuid)) throw new Error(`${JSON.stringify(uuid)} is no UUID.`);
}

function driverOf(folder: string): string | undefined {
  const link = join(folder, 'driver');
  return existsSync(link) ? basename(readlinkSync(link)) : undefined;
}

function readIfThere(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

function listIfThere(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function write(file: string, text: string): void {
  writeFileSync(file, text, { flag: 'r+' });
}
