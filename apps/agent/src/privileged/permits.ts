/** What a driver may ask privileged acts for now: accelerators of orders that passed the fence and hold the lease. */
export class Permits {
  readonly #counts = new Map<string, number>();

  grant(backendId: string, acceleratorKey: string): Disposable {
    const key = `${backendId}/${acceleratorKey}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const count = this.#counts.get(key) ?? 0;
        if (count <= 1) this.#counts.delete(key);
        else this.#counts.set(key, count - 1);
      },
    };
  }

  isGranted(backendId: string, acceleratorKey: string): boolean {
    return this.#counts.has(`${backendId}/${acceleratorKey}`);
  }
}
