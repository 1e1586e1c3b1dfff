/** Cannot let go of what is no longer there. */
import { Refusal, RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override release(params: Json): Json {
    try {
      this.find(params);
    } catch {
      throw new Refusal(4002, 'where is it?');
    }
    return {};
  }
}

new Wrong().start();
