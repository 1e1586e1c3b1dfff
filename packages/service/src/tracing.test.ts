import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { describe, it } from 'vitest';

import { isTracing, startTracing, traceHeaders, traceParent, traced } from './tracing.ts';
import type { TracingOptions } from './tracing.ts';

const options: TracingOptions = {
  service: 'test',
  version: '1',
  instance: 'here',
  traceEndpoint: undefined,
  traceFile: undefined,
  tracePercent: 100,
  log: { warn: () => {} },
};

interface Line {
  readonly name: string;
  readonly trace_id: string;
  readonly span_id: string;
  readonly parent_id: string | null;
  readonly failed: string | null;
}

function linesOf(file: string): Line[] {
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line): Line => JSON.parse(line));
}

describe('traces', () => {
  it('cost nothing and change nothing without a place to go to', async ({ expect }) => {
    await using _ = await startTracing(options);
    expect(isTracing()).toBe(false);
    expect(traced('work', { beginsTrace: true }, () => traceParent())).toBe(null);
    expect(traceHeaders()).toEqual({});
  });

  it('are written as lines, a child below its parent, also across a row, with what failed', async ({
    expect,
  }) => {
    using folder = makeTempFolder();
    const traceFile = join(folder.path, 'traces.jsonl');
    {
      await using _ = await startTracing({ ...options, traceFile });
      const row = await traced('request', { beginsTrace: true }, async () =>
        traced('act', {}, () => traceParent()),
      );
      const failing = async (): Promise<never> => {
        throw new Error('no such card');
      };
      await traced('order', { parent: row }, failing).catch(() => undefined);
      traced('nobody asked', {}, () => undefined);
    }
    const lines = linesOf(traceFile);
    const [act, request, order] = ['act', 'request', 'order'].map((name) =>
      lines.find((line) => line.name === name),
    );
    expect(lines).toHaveLength(3);
    expect(request).toMatchObject({ parent_id: null, failed: null });
    expect(act).toMatchObject({ parent_id: request?.span_id, trace_id: request?.trace_id });
    expect(order).toMatchObject({ parent_id: act?.span_id, failed: 'no such card' });
  });

  it('are sent to a collector below /v1/traces', async ({ expect }) => {
    const heard: { url: string; body: string }[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        heard.push({ url: request.url ?? '', body });
        response.setHeader('content-type', 'application/json').end('{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    {
      await using _ = await startTracing({
        ...options,
        traceEndpoint: `http://127.0.0.1:${port}/`,
      });
      traced('sent', { beginsTrace: true }, () => undefined);
    }
    server.closeAllConnections();
    server.close();
    expect(heard).toMatchObject([{ url: '/v1/traces', body: expect.stringContaining('"sent"') }]);
  });
});
