/** Counts its cards instead of knowing them. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override keyOf(_address: string, index: number): string {
    return `card-${index}`;
  }
}

new Wrong().start();
