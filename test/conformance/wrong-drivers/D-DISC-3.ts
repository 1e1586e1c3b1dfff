/** Has other keys in each process. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override keyOf(address: string): string {
    return `${process.pid}-${address}`;
  }
}

new Wrong().start();
