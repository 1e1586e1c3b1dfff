/** QEMU's object tree. */
import { ask, PropertiesSchema } from './answers.ts';
import { QmpError, type QmpConnection } from './qmp.ts';

export interface Child {
  readonly name: string;
  /** `child<pcie-root-port>` → `pcie-root-port`. */
  readonly type: string;
  readonly path: string;
}

/** Devices with a name of whoever made them, and those without. */
export const deviceFolders = ['/machine/peripheral', '/machine/peripheral-anon'] as const;

/** @returns the children of a path in QEMU's object tree; none when there is no such path. */
export async function childrenOf(qmp: QmpConnection, path: string): Promise<readonly Child[]> {
  const properties = await propertiesOf(qmp, path);
  return properties.flatMap(({ name, type }) => {
    const match = /^child<(.*)>$/.exec(type);
    return match?.[1] === undefined ? [] : [{ name, type: match[1], path: `${path}/${name}` }];
  });
}

export async function propertiesOf(
  qmp: QmpConnection,
  path: string,
): Promise<readonly { readonly name: string; readonly type: string }[]> {
  try {
    return await ask(qmp, { command: 'qom-list', args: { path }, schema: PropertiesSchema });
  } catch (error) {
    if (error instanceof QmpError && error.failure === 'refused') return [];
    throw error;
  }
}

/** @returns null when there is no such property, or none that QEMU shows. */
export async function propertyOf(
  qmp: QmpConnection,
  path: string,
  property: string,
): Promise<unknown> {
  return await qmp.execute('qom-get', { path, property }).catch(onRefused);
}

/** (qom-list-types would make QEMU load every module it has: half a second, and memory for good.) */
export async function hasType(qmp: QmpConnection, typename: string): Promise<boolean> {
  const properties = await qmp.execute('qom-list-properties', { typename }).catch(onRefused);
  return properties !== null;
}

export function onRefused(error: unknown): null {
  if (error instanceof QmpError && error.failure === 'refused') return null;
  throw error;
}
