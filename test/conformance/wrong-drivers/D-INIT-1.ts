/** Is of another version than its package. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override introduction(): Json {
    return { ...super.introduction(), driver: { id: 'wrong', version: '2.0.0' } };
  }
}

new Wrong().start();
