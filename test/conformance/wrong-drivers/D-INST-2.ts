/** Does what it should only rehearse. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override install(spec: Json): Json {
    return super.install(spec, { dry_run: false });
  }
}

new Wrong().start();
