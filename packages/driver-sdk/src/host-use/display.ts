import type { HostTables } from './host-tables.ts';
import { seen, unknown, type HolderCheck } from './host-use.ts';

const displayClass = 0x03;
const vgaClass = 0x0300;

/** The boot display, a framebuffer console, an output that is on. */
export const findDisplayUse: HolderCheck = (fn, tables) => {
  const code = fn.class ?? 0;
  const isBootDisplay = fn.integer('boot_vga');
  if (isBootDisplay === 1) return seen('boot display (boot_vga is 1)');
  const { folders } = tables.foldersOf(fn);
  const framebuffer = folders.find(
    ({ group, name }) => group === 'graphics' && /^fb\d/u.test(name),
  );
  if (framebuffer !== undefined && !isConsoleElsewhere(tables))
    return seen(`console framebuffer ${framebuffer.name}`);
  for (const { name, path, entries } of folders) {
    if (!/^card\d+-/u.test(name) || entries.get('enabled') !== 'file') continue;
    if (tables.reader.text(`${path}/enabled`) === 'enabled')
      return seen(`display output ${name} is on`);
  }
  // The kernel makes the attribute for every VGA-compatible controller.
  if (code >>> 16 === displayClass && code >>> 8 === vgaClass && isBootDisplay === undefined) {
    return unknown('boot_vga is missing: whether it is the boot display is unknown');
  }
  return undefined;
};

/** The kernel's console was taken off the framebuffers: each `frame buffer` console says that it is unbound. */
function isConsoleElsewhere({ reader, sysfs }: HostTables): boolean {
  const folder = `${sysfs}/class/vtconsole`;
  const consoles = reader.names(folder) ?? [];
  const onFramebuffer = consoles.filter((name) =>
    reader.text(`${folder}/${name}/name`)?.includes('frame buffer'),
  );
  const isUnbound = (name: string): boolean => reader.integer(`${folder}/${name}/bind`) === 0;
  return onFramebuffer.length > 0 && onFramebuffer.every(isUnbound);
}
