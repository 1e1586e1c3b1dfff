/** Lets those that share a name go one after the other, in the order in which they came. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Somebody has it, or waits for it. */
  isTaken(name: string): boolean {
    return this.#last.has(name);
  }

  async take(names: readonly string[]): Promise<Disposable> {
    const before = names.flatMap((name) => this.#last.get(name) ?? []);
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const name of names) this.#last.set(name, promise);
    await Promise.all(before);
    return {
      [Symbol.dispose]: () => {
        for (const name of names) {
          if (this.#last.get(name) === promise) this.#last.delete(name);
        }
        resolve();
      },
    };
  }
}
