/** Announces a health that nobody can read. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override health(): Json {
    return { all: 'fine' };
  }
}

new Wrong().start();
