/** Tells more than anybody can take. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override async discover(backend: string): Promise<Json> {
    return { ...(await super.discover(backend)), story: 'x'.repeat(9 * 1024 * 1024) };
  }
}

new Wrong().start();
