/** Refuses to uninstall what is not installed. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override uninstall(name: string, params: Json): Json {
    this.requireBackend(name);
    return super.uninstall(name, params);
  }
}

new Wrong().start();
