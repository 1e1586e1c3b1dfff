/** Has room for messages of 1 MiB. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override read(chunk: Buffer): void {
    if (this.buffer.length > 1024 * 1024) process.exit(1);
    super.read(chunk);
  }
}

new Wrong().start();
