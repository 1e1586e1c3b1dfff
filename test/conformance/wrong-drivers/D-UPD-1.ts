/** Leaves a lock behind when it is killed while it writes. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Refusal, RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override readonly stepMs = 300;
  #lock = '';

  override initialize(params: Json): Json {
    this.#lock = join(String(params['state_dir']), 'writing');
    return super.initialize(params);
  }

  override async update(card: Card, params: Json): Promise<Json> {
    if (existsSync(this.#lock)) throw new Refusal(4002, 'somebody is writing');
    writeFileSync(this.#lock, '');
    const answer = await super.update(card, params).finally(() => rmSync(this.#lock));
    return answer;
  }
}

new Wrong().start();
