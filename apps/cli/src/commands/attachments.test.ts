import { describe, expect, it } from 'vitest';

import { ok, problem, type Answer, type Handlers } from '../../test/api-server.ts';
import { serveCyborg, type Ended } from '../../test/served-command.ts';
import {
  accelerator,
  id,
  operation,
  running,
  succeeded,
  type Operation,
} from '../../test/things.ts';

const { calls, cyborg, server } = serveCyborg();

describe('attach-instance', () => {
  const attach = (args: readonly string[], answers: Handlers): Promise<Ended> => {
    server.current.handlers = {
      createAttachments: () => ok(operation, 202),
      showOperation: () => ({ stream: [running, succeeded] }),
      showAccelerator: () => ok(accelerator),
      ...answers,
    };
    return cyborg(['attach-instance', 'vm-1', ...args]);
  };

  it('waits, tells its progress on stderr, and lists what was attached', async () => {
    const { code, stdout, stderr } = await attach(['--driver', 'generic', '--count', '1'], {});
    expect(code).toBe(0);
    expect(stdout).toContain('virtual-crypto-0');
    expect(stderr.split('\n')).toEqual([
      `attach-instance ${id(7)}: queued, 0 of 1 done`,
      `attach-instance ${id(7)}: running, 0 of 1 done`,
      `attach-instance ${id(7)}: succeeded, 1 of 1 done`,
      '',
    ]);
    expect(calls('createAttachments')[0]?.body).toEqual({ driver: 'generic', count: 1 });
  });

  it('prints the finished operation, and what it attached, as one json document', async () => {
    const { stdout } = await attach(['-f', 'json'], {});
    expect(JSON.parse(stdout)).toEqual({ ...succeeded, accelerators: [accelerator] });
  });

  it('returns at once with --no-wait', async () => {
    const { code, stdout } = await attach(['--no-wait', '-f', 'json'], {});
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(operation);
    expect(calls('showOperation')).toEqual([]);
  });

  it('ends 2 with the choices when several kinds fit', async () => {
    const choices = [
      { driver: 'generic', type: 'CRYPTO', free: 4 },
      { driver: 'x', type: 'GPU', free: 1 },
    ];
    const { code, stdout, stderr } = await attach([], {
      createAttachments: () => problem(409, 'choice-needed', 'Two kinds would fit.', { choices }),
    });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe(
      'cyborg: Two kinds would fit. Choices: driver generic, type CRYPTO, free 4; driver x, type GPU, free 1. ' +
        'Choose with --accelerator, --profile or --driver.\n',
    );
  });

  it('says the way out of a choice once, when the server has said it', async () => {
    const detail = 'More than one kind is free: choose with --accelerator, --driver or --profile.';
    const { stderr } = await attach([], {
      createAttachments: () => problem(409, 'choice-needed', detail, { choices: [] }),
    });
    expect(stderr).toBe(`cyborg: ${detail}\n`);
  });

  it('ends 1 with the error of an operation that fails, and still prints it as json', async () => {
    const failed: Operation = { ...running, state: 'failed', error: 'demo-1 is down.' };
    const answers: Handlers = { showOperation: () => ({ stream: [failed] }) };
    const table = await attach([], answers);
    expect(table.code).toBe(1);
    expect(table.stdout).toBe('');
    expect(table.stderr.split('\n').at(-2)).toBe(
      `cyborg: Operation ${id(7)} (attach-instance) failed: demo-1 is down.`,
    );
    const json = await attach(['-f', 'json'], answers);
    expect(JSON.parse(json.stdout)).toEqual(failed);
  });

  it('repeats a lost request under one key, and goes on after a lost stream', async () => {
    const answers: Answer[] = ['hang-up', ok(operation, 202)];
    const streams: Answer[] = [
      { stream: [running], cut: true },
      'hang-up',
      { stream: [succeeded] },
    ];
    const { code } = await attach([], {
      createAttachments: () => answers.shift() ?? 'hang-up',
      showOperation: () => streams.shift() ?? 'hang-up',
    });
    expect(code).toBe(0);
    const keys = calls('createAttachments').map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('gives up after 10 s without the server, naming the operation', async () => {
    const began = performance.now();
    const { code, stderr } = await attach([], { showOperation: () => 'hang-up' });
    expect(code).toBe(1);
    expect(stderr).toContain(`while waiting for operation ${id(7)}`);
    expect(performance.now() - began).toBeLessThan(30_000);
    expect(performance.now() - began).toBeGreaterThan(8_000);
  });

  it('tells on Ctrl-C that the operation goes on', async () => {
    server.current.handlers = {
      createAttachments: () => ok(operation, 202),
      showOperation: () => ({ stream: [running], hold: true }),
    };
    const ended = await cyborg(['attach-instance', 'vm-1'], undefined, 'running');
    expect(ended.code).toBe(130);
    expect(ended.stderr).toContain(`cyborg: Operation ${id(7)} goes on.`);
  });

  it('tells with --dry-run why not, with the nearest misses, and ends 1', async () => {
    const { code, stdout, stderr } = await attach(['--dry-run'], {
      createAttachments: () =>
        ok({
          dry_run: true,
          would_succeed: false,
          changes: [],
          refusal: { code: 'no-accelerator-left', detail: 'None is free on demo-1.' },
          nearest_misses: [
            { accelerator_id: id(1), name: 'virtual-crypto-0', why_not: ['attached to vm-2'] },
          ],
        }),
    });
    expect(code).toBe(1);
    expect(stdout).toContain('attached to vm-2');
    expect(stderr).toBe('cyborg: It would be refused: None is free on demo-1.\n');
    const [call] = calls('createAttachments');
    expect(call?.query).toEqual({ dry_run: true });
    expect(call?.headers['idempotency-key']).toBeUndefined();
  });

  it('refuses two choices at once before it asks the server', async () => {
    const { code } = await attach(['--driver', 'a', '--profile', 'b'], {});
    expect(code).toBe(2);
    expect(server.current.calls).toEqual([]);
  });

  it("lets the server find an accelerator by its name on the instance's host", async () => {
    await attach(['--accelerator', 'virtual-crypto-0'], {});
    expect(calls('createAttachments')[0]?.body).toEqual({ accelerator: 'virtual-crypto-0' });
    expect(calls('listAccelerators')).toEqual([]);
  });

  it('calls a wrong field as it is typed', async () => {
    const { code, stderr } = await attach(['--profile', 'x'], {
      createAttachments: () => problem(400, 'invalid-input', 'body.profile: is wrong.', {}),
    });
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'cyborg: --profile: is wrong.\n' });
  });
});
