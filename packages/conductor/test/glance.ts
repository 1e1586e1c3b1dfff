/** For tests: a Glance over real HTTP with images that may be wrong, and outages on demand. */
import { createHash, randomUUID } from 'node:crypto';

import { makeGlance, type GlanceClient } from '@cyborg/openstack/glance';
import {
  cutOff,
  json,
  openTestSession,
  startTestServices,
  type Handler,
} from '@cyborg/openstack/test-services';
import { systemClock } from '@cyborg/service/clock';

export interface TestImage {
  readonly id: string;
  readonly bytes: Buffer;
  readonly properties: Readonly<Record<string, string>>;
  status: string;
  /** Of what Glance says; the bytes' own unless a test spoils it. */
  hash: string;
}

export interface TestGlance extends AsyncDisposable {
  readonly glance: GlanceClient;
  /** Keystone's, too. */
  readonly url: string;
  readonly images: Map<string, TestImage>;
  /** It hangs up. */
  isAway: boolean;
  downloads: number;
}

export async function openTestGlance(): Promise<TestGlance> {
  const images = new Map<string, TestImage>();
  const answer: Handler = (request, response, message) => {
    if (state.isAway) return cutOff(request, response, message);
    const url = new URL(request.path, 'http://x');
    const [, , , , id = '', file] = url.pathname.split('/');
    const image = images.get(id);
    if (file === 'file' && image !== undefined) {
      state.downloads += 1;
      return void response.end(image.bytes);
    }
    if (id === '') {
      const found = [...images.values()].filter(({ properties }) =>
        [...url.searchParams].every(([key, value]) => key === 'limit' || properties[key] === value),
      );
      return json(200, { images: found.map(said) })(request, response, message);
    }
    const answered = image === undefined ? json(404, {}) : json(200, said(image));
    return answered(request, response, message);
  };
  const services = await startTestServices(answer);
  const session = openTestSession(services, { limits: { attemptsMax: 1 } });
  const state: TestGlance = {
    glance: makeGlance(session, { clock: systemClock }),
    url: services.url,
    images,
    isAway: false,
    downloads: 0,
    async [Symbol.asyncDispose]() {
      session[Symbol.dispose]();
      await services[Symbol.asyncDispose]();
    },
  };
  return state;
}

export function addImage(
  { images }: Pick<TestGlance, 'images'>,
  properties: Readonly<Record<string, string>> = {},
  bytes = Buffer.from(`program ${randomUUID()}`),
): TestImage {
  const hash = createHash('sha512').update(bytes).digest('hex');
  const image = { id: randomUUID(), bytes, properties, status: 'active', hash };
  images.set(image.id, image);
  return image;
}

function said({ id, bytes, properties, status, hash }: TestImage): object {
  return {
    id,
    name: `image ${id.slice(0, 4)}`,
    status,
    size: bytes.length,
    checksum: null,
    os_hash_algo: 'sha512',
    os_hash_value: hash,
    owner: 'p1',
    ...properties,
  };
}
