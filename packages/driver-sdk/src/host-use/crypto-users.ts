import type { TreeReader } from '../sysfs.ts';

/** Modules whose algorithms somebody uses (a reference count above the one that being registered gives), with one such. */
export function readCryptoUsers(
  reader: TreeReader,
  proc: string,
): ReadonlyMap<string, string> | undefined {
  const lines = reader.lines(`${proc}/crypto`);
  if (lines === undefined) return undefined;
  const users = new Map<string, string>();
  let fields = new Map<string, string>();
  for (const line of [...lines, '']) {
    const colon = line.indexOf(':');
    if (colon !== -1) {
      fields.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
      continue;
    }
    const module = fields.get('module')?.replaceAll('-', '_');
    if (module !== undefined && Number(fields.get('refcnt')) > 1) {
      users.set(module, fields.get('name') ?? 'an algorithm');
    }
    fields = new Map();
  }
  return users;
}

/** The kernel's own, which use no card: templates and algorithms in software, and what drivers are written with. */
const softwareOnly = /^(?:authenc(?:esn)?|cryptd|crypto_.+|lib.+|.+_generic)$/u;

/** By module: those that use it. */
export function readModuleHolders(
  reader: TreeReader,
  sysfs: string,
): ReadonlyMap<string, readonly string[]> {
  const folder = `${sysfs}/module`;
  const holders = new Map<string, readonly string[]>();
  for (const name of reader.names(folder) ?? []) {
    const users = reader.names(`${folder}/${name}/holders`) ?? [];
    if (users.length > 0) holders.set(name, users);
  }
  return holders;
}

/** Modules that use one of these (ccp_crypto uses ccp), and those that one of these uses (qat_c62x uses intel_qat). */
export function besideOf(
  modules: readonly string[],
  holders: ReadonlyMap<string, readonly string[]>,
): string[] {
  const users = modules.flatMap((name) => holders.get(name) ?? []);
  const used = [...holders].filter(
    ([name, by]) => !softwareOnly.test(name) && modules.some((module) => by.includes(module)),
  );
  return [...new Set([...users, ...used.map(([name]) => name)])];
}
