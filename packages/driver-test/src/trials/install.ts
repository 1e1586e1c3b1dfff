/** Backends come, change and go. */
import { findProblem } from '@cyborg/driver-sdk/json-schema';
import { driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import type { DriverResult } from '@cyborg/driver-sdk/protocol';
import { demandRefusal } from '../conversation.ts';
import { demand, Untested } from '../failures.ts';
import { show } from '../judge.ts';
import type { Kit, Trial } from '../kit.ts';
import { kitLimits } from '../limits.ts';
import { toSchema } from '../subject.ts';

const invalid = [driverErrorCodes.invalid];

function same(first: DriverResult<'install'>, second: DriverResult<'install'>): boolean {
  return JSON.stringify(first) === JSON.stringify(second);
}

export const install: readonly Trial[] = [
  {
    clause: 'D-INST-1',
    needs: ['D-INIT-1'],
    run: async (kit) => {
      const conversation = await kit.fresh({ backends: [], install: false });
      for (const backend of kit.subject.backends) {
        const dry = await conversation.call('install', { backend, dry_run: true });
        const first = await conversation.call('install', { backend, dry_run: false });
        const second = await conversation.call('install', { backend, dry_run: false });
        demand(
          same(first, second) && same(dry, first),
          () =>
            `install of ${backend.name} answered ${show([dry, first, second])}: dry, first, second`,
        );
      }
      await conversation.leave();
    },
  },
  {
    clause: 'D-INST-2',
    needs: ['D-INST-1', 'D-INST-5', 'D-DISC-1'],
    run: async (kit) => {
      const conversation = await kit.fresh({ backends: [], install: false });
      const backend = kit.anyBackend();
      await conversation.call('install', { backend, dry_run: true });
      const answer = await conversation.attempt('discover', { backend: backend.name });
      demandRefusal(answer, invalid, 'discover after a dry run of install');
      await conversation.call('install', { backend, dry_run: false });
      await conversation.call('uninstall', { backend: backend.name, dry_run: true });
      const after = await conversation.attempt('discover', { backend: backend.name });
      demand('result' in after, () => 'after a dry run of uninstall the backend was gone');
      await conversation.leave();
    },
  },
  {
    clause: 'D-INST-3',
    needs: ['D-INST-1'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const strange = { name: 'driver-test/strange', kind: 'driver-test/no-such-kind', config: {} };
      const answer = await conversation.attempt('install', { backend: strange, dry_run: false });
      demandRefusal(answer, invalid, 'install of an unknown kind');
      for (const [kind, config] of await wrongConfigs(kit)) {
        const backend = { name: 'driver-test/strange', kind, config };
        const refusal = await conversation.attempt('install', { backend, dry_run: false });
        demandRefusal(refusal, invalid, `install of kind ${kind} with ${show(config)}`);
      }
    },
  },
  {
    clause: 'D-INST-4',
    needs: ['D-INST-1'],
    run: async (kit) => {
      const conversation = await kit.fresh();
      const { name } = kit.anyBackend();
      for (const backend of [name, name, 'driver-test/nobody']) {
        const { status } = await conversation.call('uninstall', { backend, dry_run: false });
        demand(status === 'ready', () => `uninstall of ${backend} answered ${status}`);
      }
      await conversation.leave();
    },
  },
  {
    clause: 'D-INST-5',
    needs: ['D-INIT-1', 'D-INST-4'],
    run: async (kit) => {
      const conversation = await kit.fresh();
      const backend = 'driver-test/nobody';
      const target = { backend, accelerator: 'none', epoch: 1 };
      const requests: [string, unknown][] = [
        ['discover', { backend }],
        ['prepare', { ...target, attachment: 'a', instance: 'i', plugs: [] }],
        ['release', { ...target, attachment: 'a' }],
        ['clean', target],
      ];
      for (const [method, params] of requests) {
        const answer = await conversation.attempt(method, params);
        demandRefusal(answer, invalid, `${method} of a backend that was never installed`);
      }
      const { name } = kit.anyBackend();
      await conversation.call('uninstall', { backend: name, dry_run: false });
      const after = await conversation.attempt('discover', { backend: name });
      demandRefusal(after, invalid, 'discover of a backend that was uninstalled');
      await conversation.leave();
    },
  },
];

/** For each kind a configuration that its own schema refuses. @throws Untested when the schemas refuse nothing. */
async function wrongConfigs(kit: Kit): Promise<[kind: string, config: Record<string, unknown>][]> {
  const { conversation, launched } = await kit.subject.start();
  const greeting = kit.subject.greeting(launched);
  const { kinds } = await conversation.call('initialize', greeting, kitLimits.initializeMsMax);
  await conversation.leave();
  const wrong = kinds.flatMap(
    ({ kind, config_schema: schema }): [string, Record<string, unknown>][] => {
      const names = Object.keys(Object(schema['properties']));
      const tries = [{ 'driver-test': 1 }, ...names.map((name) => ({ [name]: { not: ['this'] } }))];
      const refused = tries.filter(
        (one) => findProblem(toSchema(schema), one, 'config') !== undefined,
      );
      return refused.map((config) => [kind, config]);
    },
  );
  if (wrong.length === 0) throw new Untested('its schemas refuse no configuration');
  return wrong;
}
