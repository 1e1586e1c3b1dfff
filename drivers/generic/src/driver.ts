/** The `generic` driver: what PCI classes and a configuration say, without knowing any vendor. */
import { defineDriver, type Driver } from '@cyborg/driver-sdk/define-driver';
import manifest from '../package.json' with { type: 'json' };
import { openPciKind } from './pci/kind.ts';
import { PciScanner } from './pci/scanner.ts';
import { openStaticKind } from './static/kind.ts';
import { virtualKind } from './virtual.ts';

export function openGenericDriver(): Driver {
  const scanner = new PciScanner();
  return defineDriver({
    id: 'generic',
    version: manifest.version,
    kinds: {
      pci: openPciKind(scanner),
      virtual: virtualKind,
      static: openStaticKind(scanner),
    },
    close: () => scanner.close(),
  });
}
