/** Keeps one epoch for all its cards. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override fence(params: Json): void {
    super.fence({ ...params, accelerator: 'any' });
  }
}

new Wrong().start();
