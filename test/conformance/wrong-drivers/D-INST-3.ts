/** Takes any configuration. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override checkSpec(): void {}
}

new Wrong().start();
