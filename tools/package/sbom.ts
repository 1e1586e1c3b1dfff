/** CycloneDX 1.6 of what a package contains, from package-lock.json alone: the same lock gives the same bytes. */
import type { LockedPackage } from './closure.ts';
import type { Recipe } from './recipes.ts';

export interface Contents {
  readonly version: string;
  readonly epochSeconds: number;
  /** In the package, or bundled into its console. */
  readonly packages: readonly LockedPackage[];
}

export function sbomOf(recipe: Recipe, { version, epochSeconds, packages }: Contents): string {
  const root = `pkg:deb/cyborg/${recipe.debName}@${version}`;
  const refs = new Map(packages.map((one) => [one.place, refOf(one)]));
  const bom = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: new Date(epochSeconds * 1000).toISOString(),
      component: { type: 'application', 'bom-ref': root, name: recipe.debName, version },
    },
    components: packages.map(componentOf),
    dependencies: [
      { ref: root, dependsOn: [...refs.values()].toSorted() },
      ...packages.map((one) => ({
        ref: refOf(one),
        dependsOn: one.needs.flatMap((place) => refs.get(place) ?? []).toSorted(),
      })),
    ],
  };
  return `${JSON.stringify(bom, undefined, 2)}\n`;
}

/** The place keeps two copies of one version apart. */
function refOf({ name, version, place }: LockedPackage): string {
  return `${purlOf(name, version)}#${place}`;
}

function purlOf(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

function componentOf(one: LockedPackage): object {
  const [algorithm, digest] = one.integrity?.split('-', 2) ?? [];
  const isKnown = algorithm === 'sha512' && digest !== undefined;
  return {
    type: one.isOurs ? 'application' : 'library',
    'bom-ref': refOf(one),
    name: one.name,
    version: one.version,
    licenses: [{ expression: one.license === 'NOASSERTION' ? 'LicenseRef-unknown' : one.license }],
    purl: purlOf(one.name, one.version),
    ...(isKnown && {
      hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }],
    }),
  };
}
