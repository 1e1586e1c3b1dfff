/** Does not look at parameters. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override check(): void {}
}

new Wrong().start();
