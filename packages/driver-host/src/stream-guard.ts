/** Cuts what a driver writes to stdout before it is parsed: frames that are too large, too many, or no frames at all. */
import { Transform, type TransformCallback } from 'node:stream';
import { protocolLimits } from '@cyborg/driver-sdk/protocol-constants';
import type { Clock } from '@cyborg/service/clock';
import { streamLimits } from './limits.ts';

const headerEnd = Buffer.from('\r\n\r\n');
const headerPattern =
  /^(?:[A-Za-z-]+: [^\r\n]*\r\n)*Content-Length: (\d{1,10})(?:\r\n[A-Za-z-]+: [^\r\n]*)*$/i;

export class StreamGuard extends Transform {
  readonly #clock: Clock;
  readonly #onOffence: (reason: string) => void;
  #header: Buffer = Buffer.alloc(0);
  #bodyLeft = 0;
  /** Frames that may still come: one for each request of ours, and some per second besides. */
  #credit: number = streamLimits.unaskedFramesBurst;
  #creditAtMs: number;
  #isOffended = false;

  constructor(clock: Clock, onOffence: (reason: string) => void) {
    super();
    this.#clock = clock;
    this.#creditAtMs = clock.monotonicMs();
    this.#onOffence = onOffence;
  }

  /** A request was sent: its answer is no flood. */
  expectAnswer(): void {
    this.#credit += 1;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    if (this.#isOffended) return done();
    const reason = this.#inspect(chunk);
    if (reason === undefined) return done(null, chunk);
    this.#isOffended = true;
    this.#onOffence(reason);
    done();
  }

  #inspect(chunk: Buffer): string | undefined {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#bodyLeft > 0) {
        const taken = Math.min(this.#bodyLeft, rest.length);
        this.#bodyLeft -= taken;
        rest = rest.subarray(taken);
        continue;
      }
      this.#header = Buffer.concat([this.#header, rest.subarray(0, streamLimits.headerBytesMax)]);
      const end = this.#header.indexOf(headerEnd);
      if (end < 0) return this.#inspectPartialHeader(rest);
      const reason = this.#enterBody(this.#header.subarray(0, end).toString('latin1'));
      if (reason !== undefined) return reason;
      const before = this.#header.length - Math.min(rest.length, streamLimits.headerBytesMax);
      rest = rest.subarray(end + headerEnd.length - before);
      this.#header = Buffer.alloc(0);
    }
    return undefined;
  }

  #inspectPartialHeader(rest: Buffer): string | undefined {
    const isLong =
      this.#header.length > streamLimits.headerBytesMax ||
      rest.length > streamLimits.headerBytesMax;
    const start = this.#header.subarray(0, 15).toString('latin1');
    if (!isLong && /^[A-Za-z-]*(: ?|$)/.test(start)) return undefined;
    return garbage(this.#header);
  }

  #enterBody(header: string): string | undefined {
    const length = headerPattern.exec(header)?.[1];
    if (length === undefined) return garbage(Buffer.from(header, 'latin1'));
    if (Number(length) > protocolLimits.frameBytesMax) {
      return `announced a message of ${length} bytes; at most ${protocolLimits.frameBytesMax} are allowed`;
    }
    this.#bodyLeft = Number(length);
    return this.#spend();
  }

  #spend(): string | undefined {
    const nowMs = this.#clock.monotonicMs();
    const earned = ((nowMs - this.#creditAtMs) / 1000) * protocolLimits.notificationsPerSecondMax;
    this.#creditAtMs = nowMs;
    const cap = Math.max(this.#credit, streamLimits.unaskedFramesBurst);
    this.#credit = Math.min(cap, this.#credit + earned) - 1;
    if (this.#credit >= 0) return undefined;
    return `sent more than ${protocolLimits.notificationsPerSecondMax} messages per second that nobody asked for`;
  }
}

function garbage(bytes: Buffer): string {
  const shown = JSON.stringify(bytes.subarray(0, 60).toString('latin1'));
  return `wrote something that is not protocol to stdout: ${shown}`;
}
