/** Fails in its own code where it looks for cards. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override async discover(): Promise<Json> {
    process.stderr.write('Trace of src/cards, line 7\n');
    await Promise.resolve();
    throw new Error('no such attribute');
  }
}

new Wrong().start();
