import type { SseEvent } from './transport.ts';

/** An event of a server that never ends it must not fill the memory. */
const eventCharsMax = 8 * 1024 * 1024;

/**
 * The events of a `text/event-stream`; comments (a server's sign of life) are passed over.
 *
 * @throws RangeError when one event is over 8 Mi characters.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
export async function* parseSse(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<SseEvent> {
  const parser = new SseParser();
  for await (const line of linesOf(chunks)) {
    const event = parser.take(line);
    if (event !== undefined) yield event;
  }
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    // A trailing CR may be half of a CRLF: it waits for the next chunk.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    if (rest.length > eventCharsMax) throw new RangeError('An event of the stream is too long.');
    yield* lines;
  }
}

class SseParser {
  #event = '';
  #data: string[] = [];
  #chars = 0;
  #id: string | undefined;

  take(line: string): SseEvent | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return undefined;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#event = value;
    if (field === 'id' && !value.includes('\0')) this.#id = value;
    if (field === 'data') this.#addData(value);
    return undefined;
  }

  #addData(value: string): void {
    this.#chars += value.length;
    if (this.#chars > eventCharsMax) throw new RangeError('An event of the stream is too long.');
    this.#data.push(value);
  }

  #dispatch(): SseEvent | undefined {
    const hasData = this.#data.length > 0;
    const event = { event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id };
    this.#event = '';
    this.#data = [];
    this.#chars = 0;
    return hasData ? event : undefined;
  }
}
