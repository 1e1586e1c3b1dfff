/** A vendor's driver as its publisher makes it: a folder, packed and signed by the CLI, in as many versions as a test wants. */
import { randomBytes } from 'node:crypto';
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { digestOf } from '@cyborg/driver-package/digest';
import { packFolder } from '@cyborg/driver-package/pack';
import { signDigest } from '@cyborg/driver-package/signature';
import type { HostNeeds } from '@cyborg/driver-package/needs';
import { makeTestKey, type TestKey } from '@cyborg/driver-package/test-package';

import type { Fleet } from './fleet.ts';

const source = join(import.meta.dirname, '../../drivers/sample-python/src/main.py');

export interface AcmeVersion {
  readonly version: string;
  /** What its publisher changed in the program. */
  readonly edit?: (program: string) => string;
  /** What its manifest says that a host must have. */
  readonly needs?: HostNeeds;
  /** Besides the program, of bytes that cannot be compressed. */
  readonly ballastBytes?: number;
}

export interface Publisher extends TestKey {
  /** Files that hold the keys. */
  readonly privateFile: string;
  readonly publicFile: string;
}

export function makePublisher(folder: string, name = 'acme'): Publisher {
  const key = makeTestKey();
  const privateFile = join(folder, `${name}.pem`);
  const publicFile = join(folder, `${name}.pub.pem`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(privateFile, key.privatePem, { mode: 0o600 });
  writeFileSync(publicFile, key.publicPem);
  return { ...key, privateFile, publicFile };
}

const kinds = [
  {
    kind: 'entropy',
    title: 'Entropy of Acme',
    config_schema: {
      type: 'object',
      properties: { count: { type: 'integer', minimum: 1, maximum: 64, default: 2 } },
      additionalProperties: false,
    },
    delegable: ['count'],
  },
];

/** @returns its folder. */
export function writeAcme(
  fleet: Pick<Fleet, 'folder'>,
  { version, edit = (program) => program, needs, ballastBytes = 0 }: AcmeVersion,
): string {
  const folder = join(fleet.folder, `acme-source-${version}`);
  mkdirSync(join(folder, 'src'), { recursive: true });
  const program = readFileSync(source, 'utf8')
    .replace('VERSION = "0.1.0"', `VERSION = "${version}"`)
    .replaceAll('sample-python', 'acme');
  writeFileSync(join(folder, 'src', 'main.py'), edit(program));
  if (ballastBytes > 0) writeFileSync(join(folder, 'ballast.bin'), randomBytes(ballastBytes));
  const npm = { name: '@acme/cyborg-driver', version };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(npm));
  const manifest = {
    id: 'acme',
    version,
    title: 'Cards of Acme',
    protocol: { min: 1, max: 1 },
    entry: 'src/main.py',
    runtime: 'python3',
    kinds,
    default_backends: [{ name: 'acme', kind: 'entropy', config: {} }],
    ...(needs && { needs }),
  };
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  return folder;
}

/** @returns the package's file; unsigned. */
export async function packAcme(
  fleet: Pick<Fleet, 'folder'>,
  version: AcmeVersion,
): Promise<string> {
  const file = join(fleet.folder, `acme-${version.version}.tgz`);
  await packFolder(writeAcme(fleet, version), file);
  return file;
}

/** Packed, signed, uploaded and approved, as the commands do it but without a process each. */
export async function publishAcme(
  fleet: Fleet,
  publisher: Publisher,
  version: AcmeVersion,
): Promise<void> {
  const file = await packAcme(fleet, version);
  const { digest } = await digestOf(createReadStream(file));
  const signature = signDigest(digest, publisher.privatePem);
  await fleet.v3.uploadDriver({ query: { signature }, body: createReadStream(file) });
  const params = { driver_id: 'acme', version: version.version };
  await fleet.v3.approveDriverVersion({ params, body: { digest } });
}
