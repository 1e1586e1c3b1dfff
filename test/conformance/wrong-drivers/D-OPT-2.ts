/** Has statistics for those who ask, and does not say so. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override async handle(method: string, params: Json): Promise<unknown> {
    return method === 'stats' ? {} : await super.handle(method, params);
  }
}

new Wrong().start();
