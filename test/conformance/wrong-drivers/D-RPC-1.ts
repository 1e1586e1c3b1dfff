/** Answers twice, to be sure. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override answer(id: unknown, body: Json): void {
    super.answer(id, body);
    super.answer(id, body);
  }
}

new Wrong().start();
