/** Carries out what a newer order has overtaken. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override fence(): void {}
}

new Wrong().start();
