/** Breaks when two cards are released in a row without a clean between. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  #released = 0;

  override release(params: Json): Json {
    this.#released += 1;
    return super.release(params);
  }

  override clean(params: Json): string[] {
    this.#released = 0;
    return super.clean(params);
  }

  override install(spec: Json, params: Json): Json {
    if (this.#released > 0) process.exit(1);
    return super.install(spec, params);
  }
}

new Wrong().start();
