/** docs/reference/agent-configuration.md, from the option schema. `node apps/agent/src/configuration-docs.ts` writes it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { optionsMarkdown } from '@cyborg/service/option-help';

import { agentProgram } from './options.ts';

export const configurationFile = join(
  import.meta.dirname,
  '../../../docs/reference/agent-configuration.md',
);

export function configurationMarkdown(): string {
  return `# Configuration of cyborg-agent

<!-- Generated from apps/agent/src/options.ts by apps/agent/src/configuration-docs.ts; a test compares. -->

Every option is a flag, an environment variable and a key of a YAML file (\`--config FILE\` or \`CYBORG_AGENT_CONFIG\`),
as for [the server](configuration.md): a flag goes before a variable, a variable before the file, the file before the
default. A wrong value stops the start with exit status 2 and a sentence that names the option.

${optionsMarkdown(agentProgram)}
## Enrolling a host

\`cyborg join-token-create --host NAME\` (an administrator's) prints a token that is good once and for an hour. The agent is
started with it once, by \`--join-token-file\` rather than \`--join-token\`, which other users see in the list of processes:

    cyborg join-token-create --host node-1 -f value -c token > token
    cyborg-agent --server https://control:6680 --ca-file ca.pem --join-token-file token

\`cyborg join-token-list\` tells which ones can still be used; \`join-token-delete\` takes back one that fell into wrong hands.

The credential that it is given stays in the state directory (\`credential.json\`, mode 0600). Everything else there is
remembered for speed and safety; what is plugged is read from the world. An agent that takes the place of another without
its state asks the ledger: what is held or not clean, and is on \`vfio-pci\` by \`driver_override\`, is its own to prepare,
clean and give back, to the driver that the kernel chooses; a drive's serial number is that of the ledger. What a rule with
\`kernel_driver\` lists is \`absent\` until its host is started anew. Keep the state directory.

A host whose credential was lost or revoked is enrolled again: \`cyborg host-reenroll NAME\` revokes the old credential at
once, changes no attachment, and prints a token. An agent that is being refused looks for a new token in
\`--join-token-file\` by itself.

## What it needs

One agent runs per host: a lock in the state directory, and the lease that the server gives to one at a time. It may run
as any user that can reach the QMP sockets in \`--qmp-dir\`, but binds PCI functions as root alone; drivers are run without
privileges, whoever the agent is, and as root in addition behind a wall of namespaces.

### To hand hardware over to guests

[Prepare a host](../how-to/prepare-a-host.md) has the steps. The hypervisor of a host can plug \`pci\` and \`mdev\` when the host
has \`/dev/vfio/vfio\` and the guest's machine takes devices while it runs: a q35 with \`pcie-root-port\`s, one for each device,
or an i440fx. It is looked at anew with each listing. (udev makes that file without the kernel's module \`vfio-pci\` and the
IOMMU, too: that those are missing is said by the attach and by the accelerator's reason.) A port behind the expander bus
(\`pxb-pcie\`) of the guest's NUMA node that is near the card is preferred.

- \`--hypervisor qemu\`: each QEMU must be able to open \`/dev/vfio/<group>\` and to lock all of its guest's memory
  (\`LimitMEMLOCK=infinity\`). Once it has a device, such a guest cannot be migrated, as any with VFIO.
- \`--hypervisor libvirt\`: libvirt sees to both. Devices are plugged with \`managed='no'\`: which driver a function is bound
  to is the agent's business alone.

A guest that does not let go of a device (paused, booting, without PCI hot-plug) is asked again until it does; the attachment is
\`detaching\` meanwhile and says why. \`detach-instance --force\` gives up on the host, not on the device: the accelerator is
cleaned only when no machine has it.

Where the host has several NUMA nodes, those of each guest's memory and CPUs are reported when they are tied to some of
them: by QEMU's memory backends (\`host-nodes\`) and the threads of its CPUs, by libvirt's \`numatune\`, \`vcpupin\` and
\`cpuset\`.

\`cyborg-inspect\` compares what the ledger, this agent (by \`inspect.sock\` in the state directory, mode 0600) and the host itself
(\`cyborg-agent look\`) say: [looking inside a host](../how-to/look-inside-a-host.md).

\`cyborg-agent discover\` shows what the generic driver finds, with no server and no state: \`cyborg-agent discover --help\`.

### After the host was started anew

Neither what a function is bound to nor a virtual function outlives that. The agent prepares again what the ledger says is
held, but needs its server and its drivers first: a domain that libvirt starts by itself (\`virsh autostart\`, libvirt-guests)
would be refused before (\`must be manually detached from the host\`) and stay off. \`cyborg-agent prepare-held\` goes before
libvirt: by the notes in the state directory it makes the virtual functions and binds what guests held, with the checks of
every such act (what the host uses, the IOMMU group), and ends.

- The unit \`cyborg-agent-prepare.service\` of the package is enabled with \`cyborg-agent\` and goes before \`libvirtd\`,
  \`virtqemud\` and \`libvirt-guests\`. What else starts guests on the host needs \`After=cyborg-agent-prepare.service\`.
- It takes the agent's options. The kernel's module \`vfio-pci\` must be loaded by \`/etc/modules-load.d\`, or be allowed by
  \`--load-module vfio-pci\`.
- It tries for some 90 s at most and never keeps the host from starting: its exit status is 0 (2: a wrong option), and its log
  (\`journalctl -u cyborg-agent-prepare\`) says what is not prepared and why. That is left to the agent; then start the domain.
- A card with a serial number that is not the one noted is left alone, as is a card to whose IOMMU group another has come.
- Mediated devices are not made by it: the agent makes them again. Domains that have one are started when the attachment is
  \`attached\` again.
`;
}

if (import.meta.main) writeFileSync(configurationFile, configurationMarkdown());
