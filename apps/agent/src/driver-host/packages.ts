/**
 * Drivers that were uploaded: their packages are fetched by digest, kept, and checked and unpacked anew before each start,
 * so that nothing is run that was altered meanwhile.
 */
import { createReadStream } from 'node:fs';
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { DesiredPackage } from '@cyborg/api-spec/agent/desired';
import { ApiError, ConnectionError } from '@cyborg/api-client/errors';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import { digestOf, digestToHex, Hasher } from '@cyborg/driver-package/digest';
import { parseManifest } from '@cyborg/driver-package/manifest';
import { protocolOfAgents } from '@cyborg/driver-package/protocol';
import { findSigner, refusalOf, type DriverTrust } from '@cyborg/driver-package/signature';
import { unpackPackage } from '@cyborg/driver-package/unpack';
import type { Clock } from '@cyborg/service/clock';
import { agentDefaults } from '../limits.ts';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import { Postponed } from './postponed.ts';

export interface PackagesDeps {
  /** Of `openPackagesFolder`. */
  readonly folder: string;
  readonly trust: DriverTrust;
  readonly download: (sha512: string, signal: AbortSignal) => AsyncIterable<Uint8Array>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface WantedPackage extends DesiredPackage {
  readonly id: string;
  readonly version: string;
}

/** A driver of a package: found again by the digest before each start. */
export interface PackagedDriver extends DriverPackage {
  readonly wanted: WantedPackage;
}

export function isPackaged(pkg: DriverPackage): pkg is PackagedDriver {
  return 'wanted' in pkg;
}

export class Packages {
  readonly #deps: PackagesDeps;
  readonly #inUse = new Set<string>();
  #starts = 0;

  constructor(deps: PackagesDeps) {
    this.#deps = deps;
  }

  /**
   * Checks the package, fetching it when it is not here as it was ordered, and unpacks it.
   *
   * @throws Postponed; Error with what is wrong with the package.
   */
  async open(wanted: WantedPackage, signal: AbortSignal): Promise<PackagedDriver> {
    this.#checkSignature(wanted);
    const tarball = this.#tarballOf(wanted);
    if (!(await this.#isWhole(wanted))) {
      await rm(tarball, { force: true });
      await this.#fetch(wanted, signal);
    }
    this.#inUse.add(wanted.digest);
    const { clock } = this.#deps;
    await utimes(tarball, clock.now(), clock.now());
    const folder = await this.#unpack(wanted, tarball);
    await this.#forgetOld();
    return await toDriver(wanted, folder);
  }

  #checkSignature(wanted: WantedPackage): void {
    const { trust, log } = this.#deps;
    const name = `${wanted.id} ${wanted.version}`;
    const refusal = refusalOf(wanted, trust);
    if (refusal !== undefined) throw new Error(`The package of ${name} is refused. ${refusal}`);
    if (findSigner(wanted, trust.keys) !== undefined) return;
    log.warn({ driver: name, digest: wanted.digest }, 'a driver that no trusted key has signed');
  }

  #tarballOf({ digest }: WantedPackage): string {
    return join(this.#deps.folder, `${digestToHex(digest)}.tgz`);
  }

  async #isWhole(wanted: WantedPackage): Promise<boolean> {
    const tarball = this.#tarballOf(wanted);
    const found = await stat(tarball).catch(() => undefined);
    if (found === undefined) return false;
    const { digest } = await digestOf(createReadStream(tarball));
    if (digest === wanted.digest) return true;
    this.#deps.log.error(
      { tarball, digest },
      'a driver package on this host is not what it was: it is fetched again',
    );
    return false;
  }

  async #fetch(wanted: WantedPackage, signal: AbortSignal): Promise<void> {
    this.#starts += 1;
    const part = join(this.#deps.folder, `${digestToHex(wanted.digest)}.part-${this.#starts}`);
    try {
      await this.#download(wanted, part, signal);
      await rename(part, this.#tarballOf(wanted));
    } catch (error) {
      await rm(part, { force: true });
      if (isPassing(error)) throw new Postponed(messageOf(error), { cause: error });
      throw error;
    }
  }

  async #download(wanted: WantedPackage, part: string, signal: AbortSignal): Promise<void> {
    const { download } = this.#deps;
    const { digest, size_bytes: size, id, version } = wanted;
    await using file = await open(part, 'wx', 0o600);
    const hasher = new Hasher();
    for await (const piece of download(digestToHex(digest), signal)) {
      hasher.add(piece);
      if (hasher.bytes > size) break;
      await file.writeFile(piece);
    }
    await file.sync();
    const sent = hasher.end();
    if (sent.digest === digest && sent.bytes === size) return;
    throw new Error(
      `The server sent ${sent.bytes} bytes with the digest ${sent.digest} for driver ${id} ${version}; ordered were ${size} with ${digest}.`,
    );
  }

  /** Into a folder of its own for each start; that of the start before goes. */
  async #unpack({ digest }: WantedPackage, tarball: string): Promise<string> {
    this.#starts += 1;
    const all = join(this.#deps.folder, `${digestToHex(digest)}.code`);
    await mkdir(all, { recursive: true, mode: 0o755 });
    const name = String(this.#starts);
    for (const other of await readdir(all)) {
      await rm(join(all, other), { recursive: true, force: true });
    }
    const folder = join(all, name);
    await unpackPackage(tarball, folder);
    return folder;
  }

  /** The longest unused of those that this run of the agent has not started. */
  async #forgetOld(): Promise<void> {
    const { folder } = this.#deps;
    const names = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
    const inUse = new Set([...this.#inUse].map((digest) => `${digestToHex(digest)}.tgz`));
    const unused = await Promise.all(
      names
        .filter((name) => !inUse.has(name))
        .map(async (name) => ({ name, usedMs: (await stat(join(folder, name))).mtimeMs })),
    );
    const old = unused.toSorted((a, b) => b.usedMs - a.usedMs).slice(agentDefaults.packagesKeptMax);
    for (const { name } of old) await rm(join(folder, name), { force: true });
  }
}

/** Nothing that is wrong with the package: a server that is away, busy or starting. */
function isPassing(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return error instanceof ApiError && (error.status >= 500 || error.status === 429);
}

async function toDriver(wanted: WantedPackage, folder: string): Promise<PackagedDriver> {
  const manifest = parseManifest(await readFile(join(folder, 'manifest.json'), 'utf8'));
  const { id, version, protocol, runtime } = manifest;
  if (id !== wanted.id || version !== wanted.version) {
    throw new Error(
      `The package says that it is driver ${id} ${version}; ordered was ${wanted.id} ${wanted.version}.`,
    );
  }
  if (protocolOfAgents < protocol.min || protocolOfAgents > protocol.max) {
    throw new Error(
      `Driver ${id} ${version} speaks the driver protocol ${protocol.min} to ${protocol.max}; this agent speaks ${protocolOfAgents}.`,
    );
  }
  return {
    id,
    version,
    folder,
    main: join(folder, manifest.entry),
    runtime,
    codeRoot: folder,
    manifest,
    mayUseNetwork: manifest.permissions?.network === true,
    wanted,
  };
}

export function packagesFolder(stateDir: string): string {
  return join(stateDir, 'driver-packages');
}

/** What an earlier run unpacked, or had not fetched to the end, goes; drivers do not outlive their agent. */
export async function openPackagesFolder(stateDir: string): Promise<string> {
  const folder = packagesFolder(stateDir);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await chmod(folder, 0o755);
  for (const name of await readdir(folder)) {
    if (name.endsWith('.tgz')) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
  return folder;
}
