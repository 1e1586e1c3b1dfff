import { all, type V3Result } from '@cyborg/api-client/v3';

import { defineCommand } from '../command.ts';
import type { Column } from '../output/output.ts';
import { limitFlag, take } from './arguments.ts';
import { conformanceText } from './driver-conformance.ts';

type Driver = V3Result<'showDriver'>;
type Deployment = V3Result<'showDeployment'>;

const signatureText = { builtin: 'built in', signed: 'signed', unsigned: 'UNSIGNED' } as const;

/** Unsigned ones are there only where the server was told to take them. */
const signatures: Column<Driver> = {
  key: 'signature_policy',
  text: ({ versions, signature_policy: policy }) => {
    const count = versions.filter(({ signature }) => signature === 'unsigned').length;
    return count === 0 ? policy : `${policy}: ${count} UNSIGNED`;
  },
};
const versions: Column<Driver> = {
  key: 'versions',
  text: ({ versions }) =>
    versions
      .map((version) => {
        const { version: number, state, signature, builtin } = version;
        const line = `${number} (${state}, ${signatureText[signature]}${signerOf(version)})`;
        const more = [`digest ${version.digest ?? '-'}`, ...conformanceText(version).split('\n')];
        return builtin ? line : [line, ...more].join('\n  ');
      })
      .join('\n'),
};

function signerOf({ signed_by: key }: Driver['versions'][number]): string {
  return key === null ? '' : ` by ${key}`;
}

const kinds: Column<Driver> = {
  key: 'kinds',
  text: (driver) =>
    driver.kinds.map(({ kind, title, needs }) => `${kind}: ${title}${needsOf(needs)}`).join('\n'),
};
const needs: Column<Driver> = {
  key: 'needs',
  text: (driver) => (Object.keys(driver.needs).length === 0 ? '-' : JSON.stringify(driver.needs)),
};
const blocked: Column<Driver> = {
  key: 'blocked',
  text: (driver) =>
    driver.blocked
      .map(({ host, backend, reason }) => `${host}@${backend}: ${reason ?? 'no reason given'}`)
      .join('\n') || '-',
};

function needsOf(needs: Driver['needs'] | undefined): string {
  return needs === undefined ? '' : ` (needs ${JSON.stringify(needs)})`;
}

export const driverList = defineCommand({
  args: {},
  flags: { limit: limitFlag },
  examples: [
    { command: 'cyborg driver-list', help: 'which drivers there are, and where they run' },
  ],
  async run({ flags }, { api, out }) {
    await out.list(
      await take(all(api.listDrivers, {}), flags.limit),
      [
        'id',
        'title',
        'version',
        'installed_version',
        { key: 'hosts_ready', text: (it) => `${it.hosts_ready} of ${it.hosts_total}` },
        { key: 'hosts_total', hidden: true },
        signatures,
        blocked,
      ],
      'No drivers.',
    );
  },
});

export const driverShow = defineCommand({
  args: { driver_id: { help: 'id of the driver' } },
  flags: {},
  examples: [
    { command: 'cyborg driver-show generic', help: 'its versions and kinds of backend' },
    { command: 'cyborg driver-show generic -f json', help: 'with the schema of every kind' },
  ],
  async run({ args }, { api, out }) {
    const driver = await api.showDriver({ params: { driver_id: args.driver_id } });
    await out.show(driver, [versions, kinds, needs, blocked]);
  },
});

const backendsText: Column<Deployment> = {
  key: 'backends',
  text: ({ backends }) =>
    backends
      .map(({ name, kind, hosts, labels, config }) => {
        const where =
          hosts?.join(', ') ?? (labels === null ? 'every host' : JSON.stringify(labels));
        const settings = Object.keys(config).length === 0 ? '' : ` ${JSON.stringify(config)}`;
        return `${name} (${kind}) on ${where}${settings}`;
      })
      .join('\n'),
};
const installationsText: Column<Deployment> = {
  key: 'installations',
  text: ({ installations }) =>
    installations
      .map(
        ({
          host,
          state,
          running_version: running,
          wanted_version: wanted,
          reason,
          failed_version: failed,
          failed_reason: why,
        }) => {
          const version = running === wanted ? wanted : `${running ?? 'nothing'} → ${wanted}`;
          const back = failed === null ? '' : ` (went back from ${failed}: ${why ?? 'it failed'})`;
          return `${host}: ${state}, ${version}${reason === null ? '' : ` (${reason})`}${back}`;
        },
      )
      .join('\n'),
};

export const deploymentShow = defineCommand({
  args: { driver_id: { help: 'id of the driver' } },
  flags: {},
  examples: [{ command: 'cyborg deployment-show generic', help: 'its backends, and each host' }],
  async run({ args }, { api, out }) {
    const deployment = await api.showDeployment({ params: { driver_id: args.driver_id } });
    await out.show(deployment, [backendsText, installationsText]);
  },
});
