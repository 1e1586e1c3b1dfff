/** Shared memory by which a scan says what it is reading, readable by another thread also while that read hangs. */
import type { ReadWatch } from './sysfs.ts';

const headerBytes = 8;
const pathBytesMax = 4096;
const sequenceIndex = 0;
const lengthIndex = 1;

export function makeProgress(): SharedArrayBuffer {
  return new SharedArrayBuffer(headerBytes + pathBytesMax);
}

/** The scan's side. */
export class ProgressWriter implements ReadWatch {
  readonly #header: Int32Array;
  readonly #path: Uint8Array;
  readonly #encoder = new TextEncoder();
  #sequence = 0;

  constructor(progress: SharedArrayBuffer) {
    this.#header = new Int32Array(progress, 0, 2);
    this.#path = new Uint8Array(progress, headerBytes);
  }

  before(path: string): void {
    const { written } = this.#encoder.encodeInto(path, this.#path);
    this.#sequence = (this.#sequence + 1) | 0;
    Atomics.store(this.#header, lengthIndex, written);
    Atomics.store(this.#header, sequenceIndex, this.#sequence);
  }

  after(): void {
    Atomics.store(this.#header, lengthIndex, 0);
  }
}

/** The watching thread's side: asked from time to time, it knows how long the present read has been the same. */
export class ProgressReader {
  readonly #header: Int32Array;
  readonly #path: Uint8Array;
  readonly #now: () => number;
  #sequence: number | undefined;
  #sinceMs = 0;

  /** @param now  a monotonic clock in milliseconds. */
  constructor(progress: SharedArrayBuffer, now: () => number) {
    this.#header = new Int32Array(progress, 0, 2);
    this.#path = new Uint8Array(progress, headerBytes);
    this.#now = now;
  }

  /** The path being read now, and for how long at least; undefined between reads. */
  current(): { path: string; ageMs: number } | undefined {
    const length = Atomics.load(this.#header, lengthIndex);
    const sequence = Atomics.load(this.#header, sequenceIndex);
    const now = this.#now();
    if (length === 0 || sequence !== this.#sequence) {
      this.#sequence = sequence;
      this.#sinceMs = now;
      if (length === 0) return undefined;
    }
    // A copy: a decoder does not take shared memory.
    const path = Buffer.from(this.#path.slice(0, length)).toString('utf8');
    return { path, ageMs: now - this.#sinceMs };
  }
}
