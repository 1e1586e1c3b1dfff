/** Keeps the end of what a driver writes to stderr, for reports; more than the limit per second is dropped. */
import type { Readable } from 'node:stream';
import { protocolLimits } from '@cyborg/driver-sdk/protocol-constants';
import type { Clock } from '@cyborg/service/clock';
import { streamLimits } from './limits.ts';

export class StderrLog {
  #kept = '';
  #droppedBytes = 0;
  #secondEndsMs = 0;
  #bytesThisSecond = 0;
  /** Begun, and not ended yet. */
  #line = '';
  readonly #onLine: (line: string) => void;

  /** @param onLine hears each line as soon as it is whole, cut to `stderrLineCharactersMax`. */
  constructor(stderr: Readable, clock: Clock, onLine: (line: string) => void = () => undefined) {
    this.#onLine = onLine;
    stderr.on('error', () => stderr.destroy());
    stderr.on('data', (chunk: Buffer) => {
      const nowMs = clock.monotonicMs();
      if (nowMs >= this.#secondEndsMs) {
        this.#secondEndsMs = nowMs + 1000;
        this.#bytesThisSecond = 0;
      }
      this.#take(chunk);
      if (this.#bytesThisSecond <= streamLimits.stderrReadBytesPerSecondMax) return;
      stderr.pause();
      clock.setTimer(this.#secondEndsMs - nowMs, () => stderr.resume());
    });
  }

  /** The last lines, for a sentence that says why. */
  get tail(): string {
    const telling = this.#kept.split('\n').filter((line) => line.trim() !== '' && !isNoise(line));
    const lines = telling.slice(-5).join('\n').slice(-600);
    return this.#droppedBytes === 0 ? lines : `${lines} (${this.#droppedBytes} bytes dropped)`;
  }

  /** There will be no more: what was begun counts as a line. */
  end(): void {
    if (this.#line.trim() !== '') this.#onLine(this.#line);
    this.#line = '';
  }

  #take(chunk: Buffer): void {
    const room = protocolLimits.stderrBytesPerSecondMax - this.#bytesThisSecond;
    this.#bytesThisSecond += chunk.length;
    const part = chunk.subarray(0, Math.max(0, room));
    this.#droppedBytes += chunk.length - part.length;
    if (part.length === 0) return;
    const text = part.toString('utf8');
    this.#kept = (this.#kept + text).slice(-streamLimits.stderrKeptBytes);
    this.#tellLines(text);
  }

  #tellLines(text: string): void {
    const [first = '', ...rest] = text.split('\n');
    this.#grow(first);
    for (const next of rest) {
      this.end();
      this.#grow(next);
    }
  }

  #grow(part: string): void {
    const room = streamLimits.stderrLineCharactersMax - this.#line.length;
    this.#line += part.slice(0, Math.max(0, room));
  }
}

/** Stack frames and Node's own signature say nothing to an operator. */
function isNoise(line: string): boolean {
  return /^\s+at |^Node\.js v|^\s*\^+\s*$/.test(line);
}
