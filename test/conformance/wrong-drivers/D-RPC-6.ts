/** Never answers what was cancelled. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  readonly #cancelled = new Set<unknown>();

  override notified(method: string, params: Json): void {
    if (method === '$/cancelRequest') this.#cancelled.add(params['id']);
  }

  override answer(id: unknown, body: Json): void {
    setTimeout(() => {
      if (!this.#cancelled.has(id)) super.answer(id, body);
    }, 30);
  }

  override shutDown(): void {
    setTimeout(() => super.shutDown(), 60);
  }
}

new Wrong().start();
