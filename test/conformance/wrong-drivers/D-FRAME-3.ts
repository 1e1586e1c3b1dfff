/** Counts characters where bytes are meant. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  #text = '';

  override read(chunk: Buffer): void {
    this.#text += chunk.toString('utf8');
    for (;;) {
      const head = /^[^]*?content-length: (\d+)[^]*?\r\n\r\n/i.exec(this.#text)?.[0];
      const length = Number(/content-length: (\d+)/i.exec(head ?? '')?.[1]);
      if (head === undefined || this.#text.length < head.length + length) return;
      this.take(this.#text.slice(head.length, head.length + length));
      this.#text = this.#text.slice(head.length + length);
    }
  }
}

new Wrong().start();
