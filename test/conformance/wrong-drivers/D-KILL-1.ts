/** Leaves a lock behind when it is killed between an installation and the next request. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  #lock = '';

  override initialize(params: Json): Json {
    this.#lock = join(String(params['state_dir']), 'lock');
    if (existsSync(this.#lock)) throw new Error('another one is running');
    return super.initialize(params);
  }

  override async request(id: unknown, method: string, params: Json): Promise<void> {
    if (this.#lock !== '') rmSync(this.#lock, { force: true });
    if (method === 'install' && this.#lock !== '') writeFileSync(this.#lock, '');
    await super.request(id, method, params);
  }
}

new Wrong().start();
