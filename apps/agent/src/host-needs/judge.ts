/** What a host lacks, in sentences that say what a person is to do: a function of values. */
import type { HostNeeds } from '@cyborg/driver-package/needs';
import { toModuleName, type HostFacts } from './look.ts';

export interface Missing {
  /** Modules that are not there, as the manifest writes them. */
  readonly modules: readonly string[];
  /** Each says what to do. */
  readonly steps: readonly string[];
  /** Kernel arguments: each needs a restart of the host. */
  readonly reboots: readonly string[];
}

export function findMissing(needs: HostNeeds, facts: HostFacts): Missing {
  const there = new Set(facts.modules.filter(({ isThere }) => isThere).map(({ name }) => name));
  return {
    modules: (needs.modules ?? []).filter((name) => !there.has(toModuleName(name))),
    steps: (needs.hugepages ?? []).flatMap((wanted) => hugepagesStep(wanted, facts) ?? []),
    reboots: (needs.kernel_arguments ?? []).flatMap((wanted) => reboot(wanted, facts) ?? []),
  };
}

function hugepagesStep(
  { size_kib: size, count }: NonNullable<HostNeeds['hugepages']>[number],
  { hugepages }: HostFacts,
): string | undefined {
  const found = hugepages.find(({ sizeKib }) => sizeKib === size);
  if (found !== undefined && found.count >= count) return undefined;
  const has = found === undefined ? 'its kernel has none of that size' : `it has ${found.count}`;
  return (
    `give the host ${count} huge pages of ${size} KiB (${has}): write ${count} to ` +
    `/sys/kernel/mm/hugepages/hugepages-${size}kB/nr_hugepages, or start its kernel with hugepagesz=${size}K hugepages=${count}`
  );
}

function reboot(
  wanted: NonNullable<HostNeeds['kernel_arguments']>[number],
  { kernelArguments }: HostFacts,
): string | undefined {
  const choices = typeof wanted === 'string' ? [wanted] : wanted;
  const isGiven = (choice: string): boolean =>
    kernelArguments?.some(
      (one) => one === choice || (choice.endsWith('=') && one.startsWith(choice)),
    ) === true;
  if (choices.some(isGiven)) return undefined;
  const which = choices.join(' or ');
  return `add the kernel argument ${which} to the configuration of the boot loader (GRUB_CMDLINE_LINUX of /etc/default/grub, then update-grub or grub2-mkconfig) and restart the host when it suits`;
}
