/** The `generic` driver: what PCI classes and a configuration say, without knowing any vendor. */
import { defineDriver, type Driver } from '@cyborg/driver-sdk/define-driver';
import manifest from '../package.json' with { type: 'json' };
import { openPciKind } from './pci/kind.ts';
import { staticKind } from './static.ts';
import { virtualKind } from './virtual.ts';

export function openGenericDriver(): Driver {
  const pci = openPciKind();
  return defineDriver({
    id: 'generic',
    version: manifest.version,
    kinds: { pci: pci.kind, virtual: virtualKind, static: staticKind },
    close: () => pci.close(),
  });
}
