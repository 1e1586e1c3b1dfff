/** Frames as bytes: `Content-Length: N`, an empty line, N bytes of JSON. Strict, as the one that judges must be. */

const headerEnd = Buffer.from('\r\n\r\n');
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @param more Header fields beside Content-Length, each with its line end. */
export function encodeFrame(message: unknown, more = ''): Buffer {
  const body = Buffer.from(JSON.stringify(message), 'utf8');
  return Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n${more}\r\n`), body]);
}

/** Takes bytes as they come, gives whole messages. */
export class FrameReader {
  #left: Buffer = Buffer.alloc(0);

  /** @throws Error with what is wrong; nothing can be read after that. */
  push(chunk: Buffer): unknown[] {
    this.#left = Buffer.concat([this.#left, chunk]);
    const messages: unknown[] = [];
    for (;;) {
      const end = this.#left.indexOf(headerEnd);
      if (end < 0) return messages;
      const header = this.#left.subarray(0, end).toString('latin1');
      const length = Number(/(?:^|\r\n)content-length: *(\d+)(?:\r\n|$)/i.exec(header)?.[1]);
      if (Number.isNaN(length)) throw new Error(`no Content-Length in ${JSON.stringify(header)}`);
      const from = end + headerEnd.length;
      if (this.#left.length < from + length) return messages;
      messages.push(parse(this.#left.subarray(from, from + length)));
      this.#left = this.#left.subarray(from + length);
    }
  }
}

function parse(body: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(utf8.decode(body));
    return value;
  } catch {
    const shown = JSON.stringify(body.subarray(0, 80).toString('latin1'));
    throw new Error(`${body.length} bytes that are not JSON in UTF-8: ${shown}`);
  }
}
