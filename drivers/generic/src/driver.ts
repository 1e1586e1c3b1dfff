/** The `generic` driver: what PCI classes and a configuration say, without knowing any vendor. */
import { defineDriver, type Driver } from '@cyborg/driver-sdk/define-driver';
import manifest from '../package.json' with { type: 'json' };
import { HealthReader } from './health/watch.ts';
import { openPciKind } from './pci/kind.ts';
import { Cleaner } from './pci/vfio.ts';
import { PciScanner } from './pci/scanner.ts';
import { openStaticKind } from './static/kind.ts';
import { virtualKind } from './virtual.ts';

export function openGenericDriver(): Driver {
  const scanner = new PciScanner();
  const cleaner = new Cleaner();
  const health = new HealthReader({ monotonicMs: () => performance.now() });
  return defineDriver({
    id: 'generic',
    version: manifest.version,
    kinds: {
      pci: openPciKind({ scanner, healthReader: health, cleaner }),
      virtual: virtualKind,
      static: openStaticKind(scanner),
    },
    close: () => {
      scanner.close();
      health.close();
      cleaner.close();
    },
  });
}
