/** Names that others must take: Placement's resource classes and traits, the fleet's functions. */
import type { Inventory } from '@cyborg/driver-sdk/protocol';

/** Of os-resource-classes, those that an accelerator can be. */
const classes = ['PGPU', 'VGPU', 'FPGA', 'PCI_DEVICE', 'SRIOV_NET_VF'];
/** The first words of os-traits. */
const families = ['HW', 'OWNER', 'COMPUTE', 'STORAGE', 'MISC'];
const own = 'CUSTOM_ and capitals, digits and _';

/** The first name that nobody would take, as a sentence with its place and the way out. */
export function problemOfNames({ devices, services }: Inventory): string | undefined {
  for (const [at, { deployables }] of devices.entries()) {
    for (const [part, { resource_class: resourceClass, traits }] of deployables.entries()) {
      const where = `devices[${at}].deployables[${part}]`;
      const problem =
        problemOfClass(resourceClass, `${where}.resource_class`) ??
        problemOfTraits(traits, `${where}.traits`);
      if (problem !== undefined) return problem;
    }
  }
  return problemOfFunctions(services);
}

function problemOfClass(name: string, where: string): string | undefined {
  if (classes.includes(name) || name.startsWith('CUSTOM_')) return undefined;
  return `${where} is ${JSON.stringify(name)}; it must be one of Placement's (${classes.join(', ')}) or your own: ${own}`;
}

function problemOfTraits(traits: readonly string[], where: string): string | undefined {
  const known = ['CUSTOM', ...families];
  const index = traits.findIndex((trait) => !known.some((word) => trait.startsWith(`${word}_`)));
  if (index === -1) return undefined;
  const standard = families.map((word) => `${word}_…`).join(', ');
  return `${where}[${index}] is ${JSON.stringify(traits[index])}; it must be one of Placement's (${standard}) or your own: ${own}`;
}

function problemOfFunctions(services: Inventory['services']): string | undefined {
  const index = services.findIndex(
    ({ kind, name }) => kind === 'function' && !/^[a-z]{1,32}\.[a-z0-9-]{1,32}$/u.test(name),
  );
  if (index === -1) return undefined;
  return `services[${index}].name is ${JSON.stringify(services[index]?.name)}; a function has two words in lower case with a dot between, such as gpu.compute`;
}
