/** The backends of one driver process: their kind and checked configuration, by name. */
import type { Driver, Kind } from './define-driver.ts';
import { DriverError } from './errors.ts';
import type { BackendSpec } from './protocol.ts';

export interface Backend {
  readonly name: string;
  readonly kind: Kind;
  readonly config: unknown;
}

export class Backends {
  readonly #driver: Driver;
  readonly #byName = new Map<string, Backend>();
  readonly #refused = new Map<string, DriverError>();

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** @throws DriverError `invalid` for a kind that the driver does not have, or a wrong configuration. */
  parse(spec: BackendSpec): Backend {
    const kinds = this.#driver.kinds;
    const kind = Object.hasOwn(kinds, spec.kind) ? kinds[spec.kind] : undefined;
    if (kind === undefined) {
      const known = Object.keys(kinds).join(', ');
      throw new DriverError(
        'invalid',
        `backend ${spec.name}: kind is "${spec.kind}"; driver ${this.#driver.id} has ${known}`,
      );
    }
    return { name: spec.name, kind, config: kind.parseConfig(spec.config) };
  }

  put(backend: Backend): void {
    this.#refused.delete(backend.name);
    this.#byName.set(backend.name, backend);
  }

  /** Remembers why a backend could not be started. */
  refuse(name: string, error: DriverError): void {
    this.#refused.set(name, error);
  }

  remove(name: string): void {
    this.#refused.delete(name);
    this.#byName.delete(name);
  }

  find(name: string): Backend | undefined {
    return this.#byName.get(name);
  }

  /** @throws DriverError `invalid` when there is no such backend. */
  get(name: string): Backend {
    const backend = this.#byName.get(name);
    if (backend !== undefined) return backend;
    const refusal = this.#refused.get(name);
    if (refusal !== undefined) throw refusal;
    const known = [...this.#byName.keys()].join(', ') || 'none';
    throw new DriverError('invalid', `backend "${name}" is not installed; installed: ${known}`);
  }
}
