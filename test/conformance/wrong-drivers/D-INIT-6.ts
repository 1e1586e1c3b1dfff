/** Cannot do without a state folder. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override initialize(params: Json): Json {
    if (params['state_dir'] === null) throw new Error('where to?');
    return super.initialize(params);
  }
}

new Wrong().start();
