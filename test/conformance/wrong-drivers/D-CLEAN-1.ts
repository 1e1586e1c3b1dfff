/** Says nothing of what it has cleaned. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override clean(): string[] {
    return [];
  }
}

new Wrong().start();
