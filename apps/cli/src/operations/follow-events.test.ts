import http, { type ServerResponse } from 'node:http';

import { describe, expect, it } from 'vitest';

import { serveCyborg, type Ended } from '../../test/served-command.ts';
import { at } from '../../test/things.ts';

const { cyborg } = serveCyborg();

describe('event-list --follow', () => {
  /** The stream of events has another form than that of an operation, so it is written by hand. */
  async function follow(
    answers: ((response: ServerResponse) => void)[],
    flags: readonly string[] = [],
  ): Promise<Ended & { readonly numbers: unknown[]; readonly seen: string[] }> {
    const seen: string[] = [];
    const events = http.createServer((request, response) => {
      const { searchParams } = new URL(request.url ?? '', 'http://x');
      seen.push(`${String(request.headers['last-event-id'])} ${searchParams.get('after')}`);
      answers.shift()?.(response);
    });
    await new Promise<void>((done) => events.listen(0, '127.0.0.1', done));
    const address = events.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const fixed = ['event-list', '--follow', '--limit', '2', '-f', 'json'];
    const ended = await cyborg([...fixed, '--url', `http://127.0.0.1:${port}`, ...flags]);
    events.closeAllConnections();
    events.close();
    const lines = ended.stdout.trim().split('\n');
    return { ...ended, seen, numbers: lines.map((line) => JSON.parse(line).number) };
  }
  const sends = (number: number) => (response: ServerResponse) => {
    const nobody = { host: null, project_id: null, user_id: null };
    const event = {
      number,
      at,
      kind: 'k',
      subject_kind: 's',
      subject_id: 'x',
      ...nobody,
      data: {},
    };
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`id: ${number}\nevent: event\ndata: ${JSON.stringify(event)}\n\n`);
  };
  const forgets = (forgotten: number) => (response: ServerResponse) => {
    const code = 'event-number-forgotten';
    const told = { type: 'about:blank', title: 'Gone', status: 410, detail: 'Too old.', code };
    response.writeHead(410, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ ...told, forgotten, newest: forgotten + 9 }));
  };

  it('prints one event a line as json, and goes on after the last one it has', async () => {
    const { code, numbers, seen } = await follow([sends(1), sends(2)]);
    expect({ code, numbers }).toEqual({ code: 0, numbers: [1, 2] });
    expect(seen).toEqual(['undefined null', '1 null']);
  });

  it('goes on with the oldest that are kept when the server has forgotten some, and says so', async () => {
    const answers = [forgets(6), sends(7), forgets(20), sends(21)];
    const { code, numbers, seen, stderr } = await follow(answers, ['--after', '3']);
    expect({ code, numbers }).toEqual({ code: 0, numbers: [7, 21] });
    expect(seen).toEqual(['undefined 3', '6 null', '7 null', '20 null']);
    const gap = (number: number): string =>
      `Events up to number ${number} are older than the server keeps them, so some may be missing here: going on after ${number}.`;
    expect(stderr).toContain(gap(6));
    expect(stderr).toContain(gap(20));
  });
});
