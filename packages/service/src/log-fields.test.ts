import { describe, it } from 'vitest';

import { systemClock } from './clock.ts';
import { toLogFields } from './log-fields.ts';
import { makeLogger } from './logging.ts';

describe('toLogFields', () => {
  it('hides secrets however deep they are, in lists, errors and URLs too', ({ expect }) => {
    const error = Object.assign(new Error('postgresql://u:hunter2@db/x is away'), {
      config: { request: { headers: { Authorization: 'Basic hunter2' } } },
    });
    const fields = toLogFields({
      a: { b: { c: [{ db_password: 'hunter2', kept: 1 }, { joinToken: 'hunter2' }] } },
      url: 'https://u:hunter2@h/x and postgres://h/y',
      map: new Map([['k', { credential: 'hunter2' }]]),
      body: Buffer.from('hunter2'),
      token: null,
      err: error,
    });
    expect(JSON.stringify(fields)).not.toContain('hunter2');
    expect(fields).toMatchObject({
      a: { b: { c: [{ db_password: '(hidden)', kept: 1 }, { joinToken: '(hidden)' }] } },
      url: 'https://u:(hidden)@h/x and postgres://h/y',
      body: '(7 bytes)',
      token: null,
      err: { type: 'Error', message: expect.stringContaining('u:(hidden)@db') },
    });
  });

  it('ends where things are circular, deep or many', ({ expect }) => {
    const loop: Record<string, unknown> = { at: new Date(0) };
    loop['again'] = loop;
    let deep: object = {};
    for (let level = 0; level < 100; level += 1) deep = { deep };
    const many = Array.from({ length: 1000 }, (_value, index) => index);
    const fields = toLogFields({ loop, deep, many });
    expect(fields).toMatchObject({
      loop: { at: '1970-01-01T00:00:00.000Z', again: '(circular)' },
      many: expect.arrayContaining(['(800 more)']),
    });
    expect(JSON.stringify(fields)).toContain('(deeper)');
  });

  it('leaves no key twice in a line', ({ expect }) => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = makeLogger({ name: 'x', level: 'info', clock: systemClock, destination });
    log.info({ pid: 7, name: 'postgres' }, 'ready');
    expect(lines[0]?.match(/"pid":/g)).toHaveLength(1);
    expect(lines[0]?.match(/"name":/g)).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ pid_: 7, name_: 'postgres', name: 'x' });
  });
});
