import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { systemRng } from '@cyborg/service/rng';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';
import { TestHost, makeBackend, makeInstallation } from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';
import { agentDefaults } from '../limits.ts';
import { followHardwareEvents } from './hardware-events.ts';

const add = 'KERNEL[1.5] add      /devices/pci0000:20/0000:20:02.0/0000:23:00.0 (pci)\n';
const limits = agentDefaults.hardwareEvents;

/** `udevadm monitor` as a file that somebody appends to. */
function makeSource(): Disposable & { file: string; command: string[]; say(line: string): void } {
  const folder = mkdtempSync(join(tmpdir(), 'cyborg-events-'));
  const file = join(folder, 'events');
  writeFileSync(file, 'monitor will print the received events for:\n');
  return {
    file,
    command: ['tail', '-n', '+1', '-f', file],
    say: (line) => appendFileSync(file, line),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function follow(command: readonly string[], onChange: () => void): AsyncDisposable {
  const ending = new AbortController();
  const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock, format: 'lines' });
  const options = { command, clock: systemClock, rng: systemRng, log, onChange };
  const ended = followHardwareEvents(options, ending.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await ended;
    },
  };
}

describe('followHardwareEvents', () => {
  it('asks for one look after many events', async ({ expect }) => {
    using source = makeSource();
    const looks: number[] = [];
    await using _following = follow(source.command, () => {
      looks.push(systemClock.monotonicMs());
    });
    source.say(add.repeat(50));
    await eventually(() => looks.length > 0, { timeoutMs: 20_000, what: 'a look' });
    await systemClock.sleep(2 * limits.settleMs);
    expect(looks).toHaveLength(1);
    source.say(add);
    await eventually(() => looks.length > 1, { timeoutMs: 20_000, what: 'a second look' });
  });

  it('does not wait for ever for events to end', async ({ expect }) => {
    using source = makeSource();
    let looks = 0;
    await using _following = follow(source.command, () => {
      looks += 1;
    });
    await eventually(
      () => {
        source.say(add);
        return looks > 1;
      },
      { timeoutMs: 20_000, pauseMs: limits.settleMs / 3, what: 'looks while events come' },
    );
    expect(looks).toBeGreaterThan(1);
  });

  it('takes no notice of what is not an event, and of a line without an end', async ({
    expect,
  }) => {
    using source = makeSource();
    let looks = 0;
    await using _following = follow(source.command, () => {
      looks += 1;
    });
    source.say(`UDEV  [1.5] add /devices/x (pci)\n${'x'.repeat(3 * limits.lineCharactersMax)}`);
    await systemClock.sleep(2 * limits.settleMs);
    expect(looks).toBe(0);
    source.say(`\n${add}`);
    await eventually(() => looks === 1, { timeoutMs: 20_000, what: 'a look' });
  });

  it('listens again when the child ends, and looks: something may have come meanwhile', async ({
    expect,
  }) => {
    let looks = 0;
    await using _following = follow(['sh', '-c', 'echo monitor'], () => {
      looks += 1;
    });
    await eventually(() => looks > 1, { timeoutMs: 60_000, what: 'looks after two starts' });
    expect(looks).toBeGreaterThan(1);
  });

  it('ends when told, also where the command is not installed', async ({ expect }) => {
    let looks = 0;
    const following = follow(['/no/such/program'], () => {
      looks += 1;
    });
    await following[Symbol.asyncDispose]();
    expect(looks).toBe(0);
  });
});

describe('an agent that hears of a card', () => {
  it('looks at the hardware at once, long before its interval', async ({ expect }) => {
    using source = makeSource();
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend({ name: 'good' });
    server.installations = [makeInstallation([backend])];
    await host.start({ hardwareEventsCommand: source.command, inventoryIntervalMs: 3_600_000 });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const offers = (): number => server.requests.filter((one) => one.includes('inventor')).length;
    const before = offers();
    source.say(add);
    await server.until('another look', () => offers() > before);
    expect(server.violations).toEqual([]);
  });
});
