/** Takes what it reads at once for one frame. */
import { RightDriver } from './right.ts';

/** Of the first frame. */
function sizeOf(chunk: Buffer): number {
  const head = /^Content-Length: (\d+)[^]*?\r\n\r\n/i.exec(chunk.toString('latin1'));
  return (head?.[0].length ?? 0) + Number(head?.[1] ?? 0);
}

class Wrong extends RightDriver {
  override read(chunk: Buffer): void {
    this.buffer = Buffer.alloc(0);
    super.read(chunk.subarray(0, sizeOf(chunk)));
  }
}

new Wrong().start();
