/** Begins again in the middle of a write. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override steps(): number[] {
    return [0, 60, 30, 100];
  }
}

new Wrong().start();
