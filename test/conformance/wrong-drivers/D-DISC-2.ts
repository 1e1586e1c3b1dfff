/** Gives all cards one key. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override keyOf(): string {
    return 'card';
  }
}

new Wrong().start();
