/** Installs before it was initialized. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override requireGreeting(): void {}
}

new Wrong().start();
