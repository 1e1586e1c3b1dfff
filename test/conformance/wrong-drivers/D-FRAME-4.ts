/** Knows one header field, in one spelling, and ends over any other. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override read(chunk: Buffer): void {
    if (/Content-Type|content-length/.test(chunk.toString('latin1'))) process.exit(1);
    super.read(chunk);
  }
}

new Wrong().start();
