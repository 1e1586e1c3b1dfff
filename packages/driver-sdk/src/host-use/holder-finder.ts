/**
 * What on the host uses a PCI function. Each holder is a module's worth of evidence; what should be there to look at
 * and is not counts as use. The answer names the holder.
 */
import type { PciFunction } from './function.ts';
import type { HostTables } from './host-tables.ts';
import { findCryptoUse } from './crypto.ts';
import { findDisplayUse } from './display.ts';
import { seen, unknown, type HolderCheck, type HostUse } from './host-use.ts';
import { findNetworkUse } from './network.ts';
import { findNodeUse } from './open-nodes.ts';
import { findStorageUse } from './storage.ts';
import { findUserDriverUse } from './user-driver.ts';

const checks: readonly HolderCheck[] = [
  findUserDriverUse,
  findDisplayUse,
  findStorageUse,
  findNetworkUse,
  findCryptoUse,
  findNodeUse,
];

/** Classes whose use the checks above can see; a function of another class that has a driver may be in use unseen. */
const understoodClasses = new Set([0x01, 0x02, 0x03, 0x0b, 0x10, 0x12]);
const nvmeClass = 0x0108;
const audioClasses = new Set([0x0401, 0x0403]);

/** Answers for the functions of one scan; asks each question once. */
export class HolderFinder {
  readonly #functions: ReadonlyMap<string, PciFunction>;
  readonly #tables: HostTables;
  readonly #mayUnbind: (address: string) => boolean;
  readonly #own = new Map<string, HostUse | undefined>();

  /** @param mayUnbind  whose kernel driver may be taken away, by address: those are looked at, not guessed at. */
  constructor(
    functions: ReadonlyMap<string, PciFunction>,
    tables: HostTables,
    mayUnbind: (address: string) => boolean = () => false,
  ) {
    this.#functions = functions;
    this.#tables = tables;
    this.#mayUnbind = mayUnbind;
  }

  /**
   * Who uses the function itself, its virtual functions, a neighbour in its IOMMU group, or disks that it may share.
   *
   * @param isGiven  false: nobody gets it, so that it matters to nobody what it may share
   */
  find(
    fn: PciFunction,
    { isGiven = true }: { readonly isGiven?: boolean } = {},
  ): HostUse | undefined {
    const own = this.#ownUse(fn);
    if (own?.certainty === 'seen') return own;
    const other = this.#virtualFunctionUse(fn) ?? this.#neighbourUse(fn) ?? own;
    return isGiven ? (other ?? this.#sharedUse(fn)) : other;
  }

  /** The kernel does not say which namespaces the controllers of a drive share: a disk of the physical one may be there. */
  #sharedUse({ physicalFunction, class: code = 0 }: PciFunction): HostUse | undefined {
    if (physicalFunction === undefined || code >>> 8 !== nvmeClass) return undefined;
    const physical = this.#functions.get(physicalFunction);
    if (physical === undefined) {
      return unknown(`its physical function ${physicalFunction} is not in the tree`);
    }
    const use = findStorageUse(physical, this.#tables);
    return use && unknown(`it may share the namespaces of ${physicalFunction}: ${use.text}`);
  }

  #ownUse(fn: PciFunction): HostUse | undefined {
    if (this.#own.has(fn.address)) return this.#own.get(fn.address);
    let use: HostUse | undefined;
    for (const check of checks) {
      const found = check(fn, this.#tables);
      if (found === undefined) continue;
      use = use ?? found;
      if (found.certainty === 'seen') {
        use = found;
        break;
      }
    }
    this.#own.set(fn.address, use);
    return use;
  }

  #virtualFunctionUse(fn: PciFunction): HostUse | undefined {
    if (fn.has('sriov_totalvfs') && fn.integer('sriov_numvfs') === undefined) {
      return unknown('sriov_numvfs is missing: whether virtual functions are in use is unknown');
    }
    const enabled = fn.integer('sriov_numvfs') ?? 0;
    if (enabled > fn.virtualFunctions.length) {
      return unknown(
        `${enabled} virtual functions are enabled, and not all of them are in the tree`,
      );
    }
    for (const { address } of fn.virtualFunctions) {
      const virtual = this.#functions.get(address);
      if (virtual === undefined) return unknown(`virtual function ${address} is not in the tree`);
      const use = this.#ownUse(virtual);
      if (use !== undefined) return { ...use, text: `virtual function ${address}: ${use.text}` };
    }
    return undefined;
  }

  #neighbourUse(fn: PciFunction): HostUse | undefined {
    if (fn.iommuGroup === undefined) return undefined;
    const members = this.#tables.iommuGroupMembers(fn.iommuGroup);
    if (members === undefined) {
      return unknown(`the members of IOMMU group ${fn.iommuGroup} cannot be listed`);
    }
    for (const address of members) {
      if (address === fn.address) continue;
      const neighbour = this.#functions.get(address);
      const use =
        neighbour === undefined
          ? unknown('it is not in the tree')
          : this.#useAsNeighbour(neighbour);
      if (use === undefined) continue;
      return { ...use, text: `neighbour ${address} in IOMMU group ${fn.iommuGroup}: ${use.text}` };
    }
    return undefined;
  }

  #useAsNeighbour(fn: PciFunction): HostUse | undefined {
    if (fn.isBridge || fn.driver === undefined) return undefined;
    const use = this.#ownUse(fn);
    if (use !== undefined) return use;
    const isOurs = fn.driver.includes('vfio') && this.#tables.isBoundByUs(fn.address);
    if (isOurs || this.#mayUnbind(fn.address)) return undefined;
    const code = fn.class ?? 0;
    if (understoodClasses.has(code >>> 16) || audioClasses.has(code >>> 8)) return undefined;
    return seen(`driven by ${fn.driver}`);
  }
}
