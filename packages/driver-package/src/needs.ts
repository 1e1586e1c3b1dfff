/** What a manifest says that a host must have before a backend can work there. */
import Type, { type Static } from 'typebox';
import { Check } from 'typebox/value';

import { PackageError } from './package-error.ts';
import { wrongIn } from './wrong-in.ts';

const closed = { additionalProperties: false } as const;
const listMax = 64;

const Module = Type.String({
  pattern: '^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$',
  description: 'A kernel module, as modprobe knows it: vfio-pci.',
});
const PackageName = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9+._-]{0,127}$' });
const Argument = Type.String({
  pattern: '^[!-~]{1,255}$',
  description: 'As in /proc/cmdline: iommu=pt; a name alone, such as iommu=, takes any value.',
});

export const HostNeedsSchema = Type.Object(
  {
    modules: Type.Optional(
      Type.Array(Module, { maxItems: listMax, description: 'Kernel modules, loaded or built in.' }),
    ),
    packages: Type.Optional(
      Type.Object(
        {
          deb: Type.Optional(Type.Array(PackageName, { maxItems: listMax })),
          rpm: Type.Optional(Type.Array(PackageName, { maxItems: listMax })),
        },
        { ...closed, description: 'Installed packages, by the host’s own package system.' },
      ),
    ),
    hugepages: Type.Optional(
      Type.Array(
        Type.Object(
          {
            size_kib: Type.Integer({ minimum: 4, maximum: 16_777_216 }),
            count: Type.Integer({ minimum: 1, maximum: 16_777_216 }),
          },
          closed,
        ),
        { maxItems: 8, description: 'At least so many huge pages of this size.' },
      ),
    ),
    kernel_arguments: Type.Optional(
      Type.Array(
        Type.Union([Argument, Type.Array(Argument, { minItems: 1, maxItems: 16 })], {
          description: 'One, or a list of which one is enough.',
        }),
        { maxItems: listMax, description: 'With which the kernel was started.' },
      ),
    ),
  },
  {
    ...closed,
    description: 'What the host must have; an agent checks it and says what is missing.',
  },
);
export type HostNeeds = Static<typeof HostNeedsSchema>;

const NeedySchema = Type.Object({
  needs: Type.Optional(HostNeedsSchema),
  kinds: Type.Optional(
    Type.Array(Type.Object({ kind: Type.String(), needs: Type.Optional(HostNeedsSchema) })),
  ),
});

/**
 * Of a backend of this kind: what the driver needs and what the kind does.
 *
 * @throws PackageError naming the field.
 */
export function needsOfKind(manifest: unknown, kind: string): HostNeeds {
  if (!Check(NeedySchema, manifest)) {
    throw new PackageError(wrongIn('manifest.json', NeedySchema, manifest));
  }
  const own = manifest.kinds?.find((one) => one.kind === kind)?.needs;
  return joined(manifest.needs ?? {}, own ?? {});
}

function joined(a: HostNeeds, b: HostNeeds): HostNeeds {
  const both = <Item>(one: readonly Item[] = [], other: readonly Item[] = []): Item[] => [
    ...new Set([...one, ...other]),
  ];
  return {
    modules: both(a.modules, b.modules),
    packages: {
      deb: both(a.packages?.deb, b.packages?.deb),
      rpm: both(a.packages?.rpm, b.packages?.rpm),
    },
    hugepages: both(a.hugepages, b.hugepages),
    kernel_arguments: both(a.kernel_arguments, b.kernel_arguments),
  };
}
