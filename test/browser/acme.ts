/** A vendor's driver on one host of the demo, whose program a test may have changed. */
import { createReadStream } from 'node:fs';

import type { V3Client } from '@cyborg/api-client/v3';
import { digestOf } from '@cyborg/driver-package/digest';
import { signDigest } from '@cyborg/driver-package/signature';
import { eventually } from '@cyborg/testing/processes';

import { packAcme, type AcmeVersion } from '../system/acme.ts';
import { uninstalling } from './leftovers.ts';
import type { BrowserScene } from './setup.ts';

const settleMs = 180_000;
const params = { driver_id: 'acme' };

export const acmeHost = 'demo-recorded';

/** Until the test is over. @param version  `force`: what instances have of it then goes with it */
export async function installAcme(
  scene: BrowserScene,
  v3: V3Client,
  { force = false, ...version }: AcmeVersion & { readonly force?: boolean },
): Promise<AsyncDisposable> {
  const file = await packAcme(scene, version);
  const { digest } = await digestOf(createReadStream(file));
  const signature = signDigest(digest, scene.publisherPem);
  await v3.uploadDriver({ query: { signature }, body: createReadStream(file) });
  const uploaded = { ...params, version: version.version };
  await v3.approveDriverVersion({ params: uploaded, body: { digest } });
  await v3.installDriver({ params, body: { hosts: [acmeHost] } });
  await eventually(async () => v3.showBackend({ params: { backend: `${acmeHost}@acme` } }), {
    timeoutMs: settleMs,
    what: 'its backend is there to be looked at',
  });
  return {
    async [Symbol.asyncDispose]() {
      await uninstalling(v3, params.driver_id, { force })();
      await v3.deleteDriverVersion({ params: uploaded });
    },
  };
}
