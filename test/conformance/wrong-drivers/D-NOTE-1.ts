/** Logs at a level of its own. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override notify(method: string, params: Json): void {
    super.notify(method, { ...params, level: 'panic' });
  }
}

new Wrong().start();
