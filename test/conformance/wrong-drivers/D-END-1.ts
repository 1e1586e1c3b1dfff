/** Says goodbye and stays. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override shutDown(): void {}
}

new Wrong().start();
