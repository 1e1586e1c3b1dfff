/** Does not look at the versions that it is offered. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override negotiate(): void {}
}

new Wrong().start();
