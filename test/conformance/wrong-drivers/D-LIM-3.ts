/** Writes 200 KiB of debugging at every start. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override start(): void {
    process.stderr.write('debug\n'.repeat(34_000));
    super.start();
  }
}

new Wrong().start();
