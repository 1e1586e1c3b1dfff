/** Lets one wrong backend spoil the start of all. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override begin(spec: Json): void {
    this.checkSpec(spec);
    super.begin(spec);
  }
}

new Wrong().start();
