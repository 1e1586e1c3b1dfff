import { driverLimits } from '@cyborg/driver-host/limits';
import { eventually, freePort } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';
import { TestHost, makeBackend, makeInstallation, makeOrder } from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';
import { toFigures } from './figures.ts';
import { parseListen } from './listener.ts';

async function openHost(mode = 'good') {
  const server = await FakeServer.start();
  const host = await TestHost.make(server);
  const port = await freePort();
  const backend = makeBackend({ config: { mode } });
  server.installations = [makeInstallation([backend])];
  const limits = { ...driverLimits, restartFirstMs: 20, restartMaxMs: 50, crashesMax: 3 };
  await host.start({ metricsListen: { host: '127.0.0.1', port }, driverLimits: limits });
  const url = `http://127.0.0.1:${port}/metrics`;
  const text = async (): Promise<string> => (await fetch(url)).text();
  const until = (...wanted: readonly string[]): Promise<string> => {
    let missing = wanted;
    return eventually(
      async () => {
        const said = await text();
        missing = wanted.filter((part) => !said.includes(part));
        return missing.length === 0 ? said : undefined;
      },
      { timeoutMs: 60_000, what: '/metrics says it', context: () => missing.join('\n') },
    );
  };
  return {
    server,
    backend,
    url,
    until,
    [Symbol.asyncDispose]: async () => {
      await host[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('/metrics of an agent', () => {
  it('shows drivers, their calls and figures, orders and the hypervisor', async ({ expect }) => {
    await using running = await openHost();
    const { server, backend, until, url } = running;
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const order = makeOrder('attach', { backend_id: backend.id });
    server.order(order);
    await server.until('attached', () => server.outcomesOf(order).includes('attached'));
    // Of the figures and of what is plugged at the next look at them.
    const text = await until(
      'cyborg_agent_driver_state{driver="naughty",version="1.0.0",state="up"} 1',
      'cyborg_agent_driver_starts_total{driver="naughty",outcome="ok"} 1',
      'cyborg_agent_driver_call_duration_seconds_count{driver="naughty",method="prepare",outcome="ok"} 1',
      'cyborg_agent_backends{driver="naughty",state="ready"} 1',
      'cyborg_agent_accelerators{driver="naughty",backend="demo",type="ENTROPY",health="healthy",use="free"} 2',
      'cyborg_agent_driver_figure{driver="naughty",backend="demo",name="temperature_celsius"} 41',
      'cyborg_agent_driver_figure{driver="naughty",backend="demo",name="is_busy"} 1',
      'cyborg_agent_driver_figures_left_out{driver="naughty",backend="demo"} 2',
      'cyborg_agent_driver_health{driver="naughty",backend="demo",status="failed"} 1',
      'cyborg_agent_order_duration_seconds_count{act="attach",outcome="attached"} 1',
      'cyborg_agent_hypervisor_call_duration_seconds_count{hypervisor="simulated",act="plug",outcome="ok"} 1',
      'cyborg_agent_hypervisor_up{hypervisor="simulated"} 1',
      'cyborg_agent_lease_held 1',
      'cyborg_agent_plugged_devices 1',
    );
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-/);
    expect((await fetch(url.replace('/metrics', '/'))).status).toBe(404);
    expect((await fetch(url, { method: 'POST' })).status).toBe(404);
  });

  it('counts the deaths of a driver and says that it is quarantined', async ({ expect }) => {
    await using running = await openHost('crash-on-discover');
    const crashes = 'cyborg_agent_driver_crashes_total{driver="naughty"} 3';
    const calls = 'method="discover",outcome="down"} 3';
    const text = await running.until('state="quarantined"} 1', crashes, calls);
    expect(text).not.toContain('state="up"} 1');
  });
});

describe('what a driver tells of itself', () => {
  it('is shown as far as it is numbers with names, and not too many', ({ expect }) => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`f${at}`, at]));
    expect(toFigures(many).shown.size).toBe(32);
    expect(toFigures(many).leftOut).toBe(68);
    const odd = { 'a b': 1, x: Number.NaN, y: '1', z: { a: 1 }, '': 2, ok: false };
    expect([...toFigures(odd).shown]).toEqual([['ok', 0]]);
  });
});

describe('an address to listen on', () => {
  it.for([
    ['127.0.0.1:6681', { host: '127.0.0.1', port: 6681 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['6681', undefined],
    ['127.0.0.1:70000', undefined],
  ] as const)('%s', ([text, address], { expect }) => {
    expect(parseListen(text)).toEqual(address);
  });
});
