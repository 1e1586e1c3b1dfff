/** Answers for backends that nobody installed. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override requireBackend(): void {}
}

new Wrong().start();
