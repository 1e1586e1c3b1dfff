/** Ends where a tree is missing. */
import { readdirSync } from 'node:fs';
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override addresses(): string[] {
    try {
      return readdirSync(this.pci);
    } catch {
      process.exit(1);
    }
  }
}

new Wrong().start();
