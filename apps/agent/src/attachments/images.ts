/** Program images on their way into a card: fetched from the server by digest, checked, gone when the card has them. */
import { createHash } from 'node:crypto';
import { chmod, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { OrderedImage } from '@cyborg/api-spec/agent/desired';

export interface ImagesDeps {
  /** Everybody may read what is in it: drivers run as another user. */
  readonly folder: string;
  readonly download: (sha256: string, signal: AbortSignal) => AsyncIterable<Uint8Array>;
}

export interface FetchedImage extends AsyncDisposable {
  /** In the folder. */
  readonly name: string;
}

export class Images {
  readonly #deps: ImagesDeps;
  #count = 0;

  constructor(deps: ImagesDeps) {
    this.#deps = deps;
  }

  /**
   * A file of its own for each caller.
   *
   * @throws ApiError, ConnectionError; Error when the bytes are not those that were ordered
   */
  async fetch(image: OrderedImage, signal: AbortSignal): Promise<FetchedImage> {
    this.#count += 1;
    const name = `${image.sha256}-${this.#count}`;
    const path = join(this.#deps.folder, name);
    const remove = (): Promise<void> => rm(path, { force: true });
    try {
      await this.#write(path, image, signal);
      await chmod(path, 0o644);
    } catch (error) {
      await remove();
      throw error;
    }
    return { name, [Symbol.asyncDispose]: remove };
  }

  async #write(path: string, image: OrderedImage, signal: AbortSignal): Promise<void> {
    await using file = await open(path, 'wx', 0o600);
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const piece of this.#deps.download(image.sha256, signal)) {
      bytes += piece.length;
      if (bytes > image.size_bytes) break;
      hash.update(piece);
      await file.writeFile(piece);
    }
    const sha256 = hash.digest('hex');
    if (bytes === image.size_bytes && sha256 === image.sha256) return;
    throw new Error(
      `The server sent ${bytes} bytes with SHA-256 ${sha256} for image ${image.name}; ordered were ${image.size_bytes} with ${image.sha256}.`,
    );
  }
}

export function imagesFolder(stateDir: string): string {
  return join(stateDir, 'images');
}

/** Made anew: what an earlier run has left there is fetched again when it is still wanted. */
export async function openImagesFolder(stateDir: string): Promise<string> {
  const folder = imagesFolder(stateDir);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o755 });
  await chmod(folder, 0o755);
  return folder;
}
