/** Is content with any request. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override unknown(): unknown {
    return {};
  }
}

new Wrong().start();
