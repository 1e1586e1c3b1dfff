/** Images: what is known of them, and their bytes, checked while they come. */
import { createHash, getHashes } from 'node:crypto';
import type { Hash } from 'node:crypto';

import type { Clock } from '@cyborg/service/clock';

import { malformed } from './answer.ts';
import { OpenStackError } from './errors.ts';
import type { Exchange } from './errors.ts';
import { defaultCallLimits } from './limits.ts';
import { ShapeError, asList, asObject, asText, numberOrNull, textOrNull } from './reader.ts';
import type { ServiceRequest, Session } from './session.ts';

export interface GlanceImage {
  readonly id: string;
  readonly name: string | null;
  readonly status: string;
  /** Bytes; null before it was uploaded. */
  readonly size: number | null;
  /** MD5, hexadecimal; of old images the only one. */
  readonly checksum: string | null;
  /** Such as `sha512` and its value, hexadecimal. */
  readonly hashAlgorithm: string | null;
  readonly hashValue: string | null;
  /** The project that owns it. */
  readonly owner: string | null;
  /** Everything that is a text, the custom ones (`accel:function_id`) included. */
  readonly properties: Readonly<Record<string, string>>;
}

export interface GlanceCall {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly requestId?: string | undefined;
}

export interface GlanceClient {
  /** @returns undefined when there is none that the account may see. @throws {OpenStackError} */
  getImage(id: string, call?: GlanceCall): Promise<GlanceImage | undefined>;
  /** Images whose property has exactly this value; at most `limit` of them. @throws {OpenStackError} */
  findImages(
    filter: { readonly property: string; readonly value: string; readonly limit: number },
    call?: GlanceCall,
  ): Promise<readonly GlanceImage[]>;
  /**
   * The bytes of an image, as they come. Only when it ended without an error were size and checksum right: use
   * nothing of it before.
   *
   * @throws {OpenStackError} `corrupt` when they are wrong, `lost` or `timeout` when it breaks off or falls silent.
   */
  download(image: GlanceImage, call?: GlanceCall): AsyncGenerator<Buffer, void>;
}

export function makeGlance(
  session: Session,
  { clock, idleMs = defaultCallLimits.downloadIdleMs }: { clock: Clock; idleMs?: number },
): GlanceClient {
  const ask = async (request: ServiceRequest): Promise<{ status: number; body: unknown }> =>
    session.request(await versioned(session, request));
  return {
    async getImage(id, call = {}) {
      const request = imageRequest(`/images/${encodeURIComponent(id)}`, { accept: [404], ...call });
      const { status, body } = await ask(request);
      return status === 404 ? undefined : shaped(request, () => toImage(body, 'the image'));
    },
    async findImages({ property, value, limit }, call = {}) {
      const query = { [property]: value, limit: String(limit) };
      const request = imageRequest('/images', { query, ...call });
      const { body } = await ask(request);
      return shaped(request, () =>
        asList(asObject(body, 'the answer')['images'], 'images').map((item, at) =>
          toImage(item, `images[${at}]`),
        ),
      );
    },
    download: (image, call = {}) => readChecked(session, image, { clock, idleMs, call }),
  };
}

function imageRequest(path: string, more: Partial<ServiceRequest>): ServiceRequest {
  return { type: 'image', service: 'Glance', method: 'GET', path, ...more };
}

/** Glance's endpoint in the catalogue has no version, by custom. */
async function versioned(session: Session, request: ServiceRequest): Promise<ServiceRequest> {
  const endpoint = await session.endpoint('image', request.signal);
  return endpoint.endsWith('/v2') ? request : { ...request, path: `/v2${request.path}` };
}

function shaped<Result>(request: ServiceRequest, parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ShapeError) throw malformed(request, error);
    throw error;
  }
}

function toImage(value: unknown, place: string): GlanceImage {
  const image = asObject(value, place);
  const text = (key: string): string | null => textOrNull(image[key], `${place}.${key}`);
  return {
    id: asText(image['id'], `${place}.id`),
    name: text('name'),
    status: asText(image['status'], `${place}.status`),
    size: numberOrNull(image['size'], `${place}.size`),
    checksum: text('checksum'),
    hashAlgorithm: text('os_hash_algo'),
    hashValue: text('os_hash_value'),
    owner: text('owner'),
    properties: Object.fromEntries(
      Object.entries(image).flatMap(([key, each]) =>
        typeof each === 'string' ? [[key, each]] : [],
      ),
    ),
  };
}

interface Download {
  readonly clock: Clock;
  readonly idleMs: number;
  readonly call: GlanceCall;
}

async function* readChecked(
  session: Session,
  image: GlanceImage,
  { clock, idleMs, call }: Download,
): AsyncGenerator<Buffer, void> {
  const expected = expectedHash(image);
  const path = `/images/${encodeURIComponent(image.id)}/file`;
  const request = await versioned(session, imageRequest(path, call));
  const message = await session.download({
    ...request,
    headers: { accept: 'application/octet-stream' },
  });
  if (message.statusCode === 204) throw corrupt(request, 'it has no data');
  let bytes = 0;
  const watch = watchSilence({ clock, idleMs }, (error) => message.destroy(error));
  const abort = (): void => void message.destroy(abortError(call.signal));
  call.signal?.addEventListener('abort', abort, { once: true });
  try {
    for await (const chunk of message) {
      const piece = Buffer.from(chunk);
      watch.stop();
      bytes += piece.length;
      if (image.size !== null && bytes > image.size) throw corrupt(request, 'it is too long');
      expected.hash.update(piece);
      yield piece;
      watch.touch();
    }
  } catch (error) {
    throw failureOf(error, { request, signal: call.signal });
  } finally {
    watch.stop();
    call.signal?.removeEventListener('abort', abort);
    message.destroy();
  }
  checkEnd({ image, bytes, expected, request });
}

interface ExpectedHash {
  readonly hash: Hash;
  readonly algorithm: string;
  readonly value: string;
}

function expectedHash({ hashAlgorithm, hashValue, checksum, id }: GlanceImage): ExpectedHash {
  if (hashAlgorithm !== null && hashValue !== null && getHashes().includes(hashAlgorithm)) {
    return { hash: createHash(hashAlgorithm), algorithm: hashAlgorithm, value: hashValue };
  }
  if (checksum !== null) return { hash: createHash('md5'), algorithm: 'md5', value: checksum };
  throw new OpenStackError(
    `Image ${id} has no checksum in Glance, so that its bytes could not be checked: upload it again.`,
    { failure: 'corrupt' },
  );
}

function checkEnd({
  image,
  bytes,
  expected: { hash, algorithm, value },
  request,
}: {
  image: GlanceImage;
  bytes: number;
  expected: ExpectedHash;
  request: Exchange;
}): void {
  if (image.size !== null && bytes !== image.size) {
    throw corrupt(request, `${bytes} bytes came instead of ${image.size}`);
  }
  const actual = hash.digest('hex');
  if (actual !== value.toLowerCase()) {
    throw corrupt(request, `its ${algorithm} is ${actual} instead of ${value}`);
  }
}

function corrupt({ service, method, path }: Exchange, reason: string): OpenStackError {
  return new OpenStackError(
    `What ${service} sent for ${method} ${path} is not the image that it describes: ${reason}. Try again, or upload it again.`,
    { failure: 'corrupt', exchange: { service, method, path } },
  );
}

/** The consumer's own time between two pieces does not count: only waiting for Glance does. */
function watchSilence(
  { clock, idleMs }: { clock: Clock; idleMs: number },
  end: (error: Error) => void,
): { touch(): void; stop(): void } {
  const arm = (): Disposable => clock.setTimer(idleMs, () => end(new SilenceError(idleMs)));
  let timer = arm();
  return {
    touch() {
      timer[Symbol.dispose]();
      timer = arm();
    },
    stop: () => timer[Symbol.dispose](),
  };
}

class SilenceError extends Error {
  constructor(idleMs: number) {
    super(`nothing came for ${idleMs} ms`);
  }
}

function abortError(signal: AbortSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : new Error('given up');
}

function failureOf(
  error: unknown,
  { request, signal }: { request: Exchange; signal: AbortSignal | undefined },
): unknown {
  if (error instanceof OpenStackError || signal?.aborted === true) return error;
  const { service, method, path } = request;
  const reason = error instanceof Error ? error.message : String(error);
  return new OpenStackError(
    `${service} broke off its answer to ${method} ${path}: ${reason}. Try again.`,
    {
      failure: error instanceof SilenceError ? 'timeout' : 'lost',
      exchange: { service, method, path },
      cause: error,
    },
  );
}
