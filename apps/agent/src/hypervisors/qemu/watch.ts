import { watch, type FSWatcher } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Clock } from '@cyborg/service/clock';
import type { QmpDoor } from './door.ts';

export const watchLimits = {
  /** How soon a guest that was left is listened to again. */
  tendMs: 100,
  /** How often it is checked that the folder is still the one that is watched. */
  renewMs: 1_000,
  listenedMax: 256,
} as const;

export interface WatchOptions {
  readonly directory: string;
  readonly clock: Clock;
  /** Sockets of guests that answered; their events go to their doors. */
  sockets(): Iterable<string>;
  doorOf(socket: string): QmpDoor;
  /** The folder or its sockets changed. */
  readonly onChange: () => void;
}

/** Only these matter: consoles and pid files may lie beside them. */
const watchedPattern = /\.(sock|qmp|json)$/;

export function watchQemu(options: WatchOptions): Disposable {
  const stop = new AbortController();
  const folder = new FolderWatch(options);
  let timer: Disposable | null = null;
  let renewAtMs = options.clock.monotonicMs();
  const tend = async (): Promise<void> => {
    if (options.clock.monotonicMs() >= renewAtMs) {
      await folder.renew();
      renewAtMs = options.clock.monotonicMs() + watchLimits.renewMs;
    }
    if (stop.signal.aborted) return folder[Symbol.dispose]();
    for (const socket of [...options.sockets()].slice(0, watchLimits.listenedMax)) {
      options.doorOf(socket).listen(stop.signal).catch(ignore);
    }
    timer = options.clock.setTimer(watchLimits.tendMs, () => void tend());
  };
  void tend();
  return {
    [Symbol.dispose]: () => {
      stop.abort();
      timer?.[Symbol.dispose]();
      folder[Symbol.dispose]();
    },
  };
}

function ignore(): void {
  // Stopped while waiting for its turn.
}

/** Follows the folder by its name: another folder put in its place is watched instead. */
class FolderWatch implements Disposable {
  readonly #options: WatchOptions;
  #watcher: FSWatcher | null = null;
  #identity = '';

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  async renew(): Promise<void> {
    const found = await stat(this.#options.directory, { bigint: true }).catch(() => null);
    const identity = found === null ? 'none' : `${found.dev}:${found.ino}`;
    if (identity === this.#identity) return;
    const isFirst = this.#identity === '';
    this[Symbol.dispose]();
    this.#identity = identity;
    if (found !== null) this.#start();
    if (!isFirst) this.#options.onChange();
  }

  #start(): void {
    try {
      const { directory, onChange } = this.#options;
      this.#watcher = watch(directory, { persistent: false }, (_event, name) => {
        if (name === null || watchedPattern.test(name)) onChange();
      });
      this.#watcher.on('error', () => this[Symbol.dispose]());
    } catch {
      this.#identity = 'none'; // gone again, or no inotify watch left: tried again at the next round
    }
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    this.#watcher = null;
    this.#identity = 'none';
  }
}
