/**
 * Makes a host ready for a backend as far as its policy allows: checks what the driver's manifest needs, loads the modules
 * that an operator has allowed, and says in words what is left for a person. Nothing is installed and nothing restarts.
 */
import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Roots } from '@cyborg/driver-sdk/protocol';
import { ScanProcess } from '@cyborg/driver-sdk/scan-process';
import { needsOfKind, type HostNeeds } from '@cyborg/driver-package/needs';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import type { Clock } from '@cyborg/service/clock';
import { hasCode } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import { LoadedModules } from '../state/loaded-modules.ts';
import { runCommand, type HostCommands } from './commands.ts';
import { findMissing } from './judge.ts';
import { toModuleName, type HostFacts, type LookOrder, type ModuleState } from './look.ts';

export interface HostPreparationDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly roots: Roots;
  /** Where `lib/modules` and `var/lib` are: `/`. */
  readonly hostRoot: string;
  readonly stateDir: string;
  readonly simulated: boolean;
  /** Modules that host policy lets us load. */
  readonly allowedModules: readonly string[];
  readonly commands: HostCommands;
}

export interface NeedyBackend {
  readonly id: string;
  readonly kind: string;
}

const { hostNeeds: limits } = agentDefaults;

export class HostPreparation {
  readonly #deps: HostPreparationDeps;
  readonly #loaded: LoadedModules;
  readonly #allowed: ReadonlySet<string>;
  #scanner: ScanProcess<LookOrder, HostFacts> | undefined;
  /** One change of the host's modules at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: HostPreparationDeps) {
    this.#deps = deps;
    this.#loaded = new LoadedModules(deps.stateDir);
    this.#allowed = new Set(deps.allowedModules.map(toModuleName));
  }

  /**
   * Idempotent.
   *
   * @returns what a person must do before the backend can work; undefined: nothing.
   * @throws Error when the manifest or the host cannot be read.
   */
  async prepare(pkg: DriverPackage, backend: NeedyBackend): Promise<string | undefined> {
    const needs = needsOfKind(pkg.manifest ?? (await readManifest(pkg.folder)), backend.kind);
    if (isNothing(needs)) return undefined;
    return await this.#inTurn(() => this.#prepare(needs, backend.id));
  }

  /** What `prepare` did for this backend alone is undone: a module that we loaded, and that nobody uses, is taken out. */
  async undo(backendId: string): Promise<void> {
    if (!existsSync(join(this.#deps.stateDir, 'loaded-modules.json'))) return;
    await this.#inTurn(() => this.#undo(backendId));
  }

  /**
   * As a driver asks for it.
   *
   * @returns why not; undefined: it is there.
   */
  async loadModule(name: string, backendId: string): Promise<string | undefined> {
    return await this.#inTurn(async () => {
      const facts = await this.#look({ modules: [name] });
      await this.#loaded.open(facts.bootId);
      const { steps } = await this.#loadAll([name], facts, backendId);
      return steps[0];
    });
  }

  async #prepare(needs: HostNeeds, backendId: string): Promise<string | undefined> {
    const facts = await this.#look(needs);
    await this.#loaded.open(facts.bootId);
    const missing = findMissing(needs, facts);
    const loading = await this.#loadAll(needs.modules ?? [], facts, backendId);
    const steps = [...loading.steps, ...(await this.#missingPackages(needs)), ...missing.steps];
    const all = [...steps, ...missing.reboots];
    return all.length === 0 ? undefined : all.join('; ');
  }

  async #loadAll(
    modules: readonly string[],
    facts: HostFacts,
    backendId: string,
  ): Promise<{ readonly steps: string[] }> {
    const steps: string[] = [];
    for (const module of modules) {
      const name = toModuleName(module);
      const isThere = facts.modules.find((one) => one.name === name)?.isThere === true;
      if (isThere) {
        // Ours already, for another backend: it stays until this one goes, too.
        if (this.#loaded.has(name)) await this.#loaded.note(name, backendId);
        continue;
      }
      const step = await this.#load(module, backendId);
      if (step !== undefined) steps.push(step);
    }
    return { steps };
  }

  async #load(module: string, backendId: string): Promise<string | undefined> {
    const { commands, log, simulated } = this.#deps;
    const name = toModuleName(module);
    if (!this.#allowed.has(name)) {
      return `load the kernel module ${module} (modprobe ${module}; a line in /etc/modules-load.d keeps it), or let the agent do it with --load-module ${module}`;
    }
    // A recorded host has nothing to load it into.
    if (simulated) return undefined;
    await this.#loaded.note(name, backendId);
    const ran = await runCommand(commands.load, ['--', module], limits.commandMsMax);
    const [after] = (await this.#look({ modules: [module] })).modules;
    if (ran.status === 0 && after?.isThere === true) {
      log.info({ module, backend: backendId }, 'loaded a kernel module');
      return undefined;
    }
    await this.#loaded.forget(name);
    const why = ran.status === 0 ? 'modprobe says that it did, but it is not there' : ran.failure;
    return `load the kernel module ${module}: the agent may, and could not (${why})`;
  }

  async #missingPackages(needs: HostNeeds): Promise<string[]> {
    const { hostRoot, commands, simulated } = this.#deps;
    if (simulated) return [];
    const { deb = [], rpm = [] } = needs.packages ?? {};
    if (deb.length > 0 && existsSync(join(hostRoot, 'var/lib/dpkg/status'))) {
      const isThere = async (name: string): Promise<boolean> => {
        const { status, stdout } = await runCommand(commands.deb, [name], limits.commandMsMax);
        return status === 0 && stdout.startsWith('installed');
      };
      return await this.#stepFor(deb, isThere, 'apt-get install');
    }
    const hasRpm = ['usr/lib/sysimage/rpm', 'var/lib/rpm'].some((folder) =>
      existsSync(join(hostRoot, folder)),
    );
    if (rpm.length === 0 || !hasRpm) return [];
    const isThere = async (name: string): Promise<boolean> =>
      (await runCommand(commands.rpm, [name], limits.commandMsMax)).status === 0;
    return await this.#stepFor(rpm, isThere, 'dnf install');
  }

  async #stepFor(
    names: readonly string[],
    isThere: (name: string) => Promise<boolean>,
    command: string,
  ): Promise<string[]> {
    const missing: string[] = [];
    for (const name of names) if (!(await isThere(name))) missing.push(name);
    if (missing.length === 0) return [];
    const which = missing.length === 1 ? 'package' : 'packages';
    return [`install the ${which} ${missing.join(', ')} (${command} ${missing.join(' ')})`];
  }

  async #undo(backendId: string): Promise<void> {
    const { bootId } = await this.#look({});
    await this.#loaded.open(bootId);
    await this.#loaded.forgetUser(backendId);
    const unneeded = this.#loaded.unneeded();
    if (unneeded.length === 0) return;
    for (const state of (await this.#look({ modules: unneeded })).modules)
      await this.#unload(state);
  }

  /** What somebody uses stays, and stays noted: the next uninstall looks again. */
  async #unload({ name, isThere, users }: ModuleState): Promise<void> {
    const { commands, log } = this.#deps;
    if (!isThere) return await this.#loaded.forget(name);
    if (users !== 0) {
      log.info({ module: name, users }, 'a kernel module that we loaded stays: it is in use');
      return;
    }
    const ran = await runCommand(commands.unload, [name], limits.commandMsMax);
    if (ran.status !== 0) {
      log.warn({ module: name, reason: ran.failure }, 'a kernel module was not unloaded');
      return;
    }
    await this.#loaded.forget(name);
    log.info({ module: name }, 'unloaded a kernel module that we had loaded');
  }

  async #look({ modules = [], hugepages = [] }: HostNeeds): Promise<HostFacts> {
    const { roots, hostRoot, clock } = this.#deps;
    const controller = new AbortController();
    using _timer = clock.setTimer(limits.lookMsMax, () => controller.abort());
    const scanner = (this.#scanner ??= new ScanProcess({
      module: new URL('./look.ts', import.meta.url),
    }));
    const pageSizesKib = hugepages.map(({ size_kib: size }) => size);
    const order = { sysfs: roots.sysfs, proc: roots.proc, root: hostRoot, modules, pageSizesKib };
    try {
      return await scanner.run(order, { signal: controller.signal });
    } catch (error) {
      // Another one next time: this one may have given up files that hung.
      if (this.#scanner === scanner) this.#scanner = undefined;
      throw error;
    }
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.#turn;
    const mine = before.then(work);
    this.#turn = mine.catch(() => undefined);
    return await mine;
  }
}

function isNothing({ modules, packages, hugepages, kernel_arguments: words }: HostNeeds): boolean {
  const lists = [modules, packages?.deb, packages?.rpm, hugepages, words];
  return lists.every((list) => list === undefined || list.length === 0);
}

/** A driver that says nothing of itself needs nothing. */
async function readManifest(folder: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return {};
    throw error;
  }
}
