/** Delegates a key that no configuration has. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override introduction(): Json {
    const kinds = [{ kind: 'rack', title: 'Cards', config_schema: this.schema, delegable: ['x'] }];
    return { ...super.introduction(), kinds };
  }
}

new Wrong().start();
