/** Hears nothing while it looks for its cards. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  #busy = false;

  override async request(id: unknown, method: string, params: Json): Promise<void> {
    if (this.#busy) return;
    this.#busy = method === 'discover';
    await super.request(id, method, params);
    this.#busy = false;
  }
}

new Wrong().start();
