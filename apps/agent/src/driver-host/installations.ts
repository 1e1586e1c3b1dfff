/** All drivers of this host. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DesiredInstallation } from '@cyborg/api-spec/agent/desired';
import type { DriverMethod, DriverParams, DriverResult } from '@cyborg/driver-sdk/protocol';
import type { Log } from '../log.ts';
import type { Backend } from './backend.ts';
import { findDrivers, type DriverPackage } from '@cyborg/driver-host/catalogue';
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import type { CallOptions } from '@cyborg/driver-host/driver-process';
import { isPackaged, type Packages } from './packages.ts';
import { Installation, type InstallationDeps } from './installation.ts';
import type { SupervisedDriver } from './supervised-driver.ts';

export interface InstallationsOptions extends Omit<InstallationDeps, 'findPackage' | 'wasStarted'> {
  readonly packages: Packages;
  readonly driversDirs: readonly string[];
  readonly stateDir: string;
}

export class Installations {
  readonly #options: InstallationsOptions;
  readonly #byId = new Map<string, Installation>();
  readonly #log: Log;
  readonly #stopping = new AbortController();

  constructor(options: InstallationsOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  async listPackages(): Promise<DriverPackage[]> {
    return await findDrivers(this.#options.driversDirs, this.#log);
  }

  /** Makes it so, in the background. What is not listed is left alone: absence is not an order. */
  apply(wanted: readonly DesiredInstallation[]): void {
    for (const one of wanted) {
      const known = this.#byId.get(one.id);
      if (known !== undefined && !known.isRemoved) known.want(one);
      else this.#byId.set(one.id, new Installation(one, this.#deps()));
    }
    const listed = new Set(wanted.map(({ id }) => id));
    for (const [id, installation] of this.#byId) {
      if (installation.isRemoved && !listed.has(id)) this.#byId.delete(id);
    }
  }

  all(): Iterable<Installation> {
    return this.#byId.values();
  }

  /** Drivers whose process runs, with the names of the backends that they were given. */
  *running(): Generator<{ readonly driver: SupervisedDriver; readonly backends: string[] }> {
    for (const { driver, backends } of this.#byId.values()) {
      if (driver?.isUp !== true) continue;
      const given = [...backends].filter(({ inventory }) => inventory !== undefined);
      yield { driver, backends: given.map(({ wanted }) => wanted.name) };
    }
  }

  rediscover(): void {
    for (const installation of this.#byId.values()) installation.rediscover();
  }

  repeatReports(): void {
    for (const installation of this.#byId.values()) installation.repeatReports();
  }

  findBackend(backendId: string): { backend: Backend; installation: Installation } | undefined {
    for (const installation of this.#byId.values()) {
      for (const backend of installation.backends) {
        if (backend.wanted.id === backendId) return { backend, installation };
      }
    }
    return undefined;
  }

  /** @throws DriverCallError; `down` when there is no such backend here, or its driver does not run. */
  async call<M extends DriverMethod>(
    backendId: string,
    { method, params }: { method: M; params: (backendName: string) => DriverParams<M> },
    options: CallOptions,
  ): Promise<DriverResult<M>> {
    const found = this.findBackend(backendId);
    const driver = found?.installation.driver;
    if (found === undefined || driver === undefined) {
      throw new DriverCallError('down', `Backend ${backendId} is not running on this host.`);
    }
    return await driver.call(method, params(found.backend.wanted.name), options);
  }

  /**
   * Has an image written, from the file of this name in the folder of images.
   *
   * @throws DriverCallError
   */
  async update(
    backendId: string,
    order: Omit<DriverParams<'update'>, 'backend' | 'image'> & { readonly file: string },
    { onProgress, ...options }: CallOptions & { readonly onProgress: (percent: number) => void },
  ): Promise<void> {
    const found = this.findBackend(backendId);
    const driver = found?.installation.driver;
    if (found === undefined || driver === undefined) {
      throw new DriverCallError('down', `Backend ${backendId} is not running on this host.`);
    }
    const { file, ...target } = order;
    const backend = found.backend.wanted.name;
    const folder = driver.imagesDir;
    if (folder === null) throw new DriverCallError('unsupported', 'No image can be written here.');
    using _follower = driver.followUpdate({ backend, accelerator: order.accelerator }, onProgress);
    await driver.call('update', { backend, ...target, image: join(folder, file) }, options);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the agent is stopping'));
    await Promise.all([...this.#byId.values()].map((installation) => installation.stop()));
  }

  #deps(): InstallationDeps {
    const options = this.#options;
    const { stateDir } = options;
    return {
      ...options,
      launch: async (pkg) => options.launch(await this.#checked(pkg)),
      findPackage: async (wanted, signal) => this.#find(wanted, signal),
      wasStarted: (driverId) => existsSync(join(stateDir, 'driver-state', driverId)),
    };
  }

  /** A package is looked through again before each start. */
  async #checked(pkg: DriverPackage): Promise<DriverPackage> {
    if (!isPackaged(pkg)) return pkg;
    return await this.#options.packages.open(pkg.wanted, this.#stopping.signal);
  }

  /** @returns the package, or a sentence that says why there is none. */
  async #find(wanted: DesiredInstallation, signal: AbortSignal): Promise<DriverPackage | string> {
    const { driver_id: id, version, package: ordered } = wanted;
    if (ordered) return await this.#options.packages.open({ ...ordered, id, version }, signal);
    const packages = await this.listPackages();
    const found = packages.find((pkg) => pkg.id === id && pkg.version === version);
    if (found !== undefined) return found;
    const versions = packages.filter((pkg) => pkg.id === id).map((pkg) => pkg.version);
    const known =
      versions.length > 0 ? `this host has ${versions.join(', ')}` : 'this host has none';
    return `Driver ${id} ${version} is not on this host (${known}) and cannot be fetched: it is not built in.`;
  }
}
