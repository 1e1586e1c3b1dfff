/** Restarts of a driver that somebody asked for: a number that rises, and how far the host is with it. */
interface Restartable {
  restart(): Promise<void>;
}

export class Restarts {
  #begun = 0;
  #done = 0;
  #running: Promise<void> | undefined;

  /** The last that was asked for. */
  get begun(): number {
    return this.#begun;
  }

  /** The last that is over. */
  get done(): number {
    return this.#done;
  }

  /** @returns false when it was begun before. A driver that was not started yet will be, which is as good. */
  begin(number: number, driver: Restartable | undefined): boolean {
    if (number <= this.#begun) return false;
    this.#begun = number;
    const before = this.#running;
    if (driver !== undefined) {
      this.#running = (async () => {
        await before;
        await driver.restart();
      })();
    }
    return true;
  }

  /** Waits for what is under way. @throws the signal's reason */
  async settled(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', abort);
    try {
      await Promise.race([this.#running, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  finish(number: number): void {
    this.#done = Math.max(this.#done, number);
  }
}
