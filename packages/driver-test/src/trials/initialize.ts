/** The first words, and what a driver says of itself. */
import { protocolVersion, driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import type { InitializeResult } from '@cyborg/driver-sdk/protocol';
import { demandRefusal } from '../conversation.ts';
import { Broken, demand } from '../failures.ts';
import { isRecord } from '../journal.ts';
import type { Kit, Trial } from '../kit.ts';
import { kitLimits } from '../limits.ts';

const notThere = 'driver-test/refused';

async function introduce(kit: Kit): Promise<InitializeResult> {
  const { conversation, launched } = await kit.subject.start();
  const said = await conversation.call(
    'initialize',
    kit.subject.greeting(launched),
    kitLimits.initializeMsMax,
  );
  await conversation.leave();
  return said;
}

export const initialize: readonly Trial[] = [
  {
    clause: 'D-INIT-1',
    run: async (kit) => {
      const { driver, protocol_version: version } = await introduce(kit);
      const { id, version: expected } = kit.subject.options.pkg;
      demand(
        driver.id === id && driver.version === expected,
        () => `the package is ${id} ${expected}; the process says ${driver.id} ${driver.version}`,
      );
      demand(version === protocolVersion, () => `it picked protocol ${version}, not offered`);
    },
  },
  {
    clause: 'D-INIT-2',
    needs: ['D-INIT-1'],
    run: async (kit) => {
      const first = await kit.subject.start();
      const greeting = kit.subject.greeting(first.launched);
      const strange = { ...greeting, protocol_versions: ['9000', '0.1'] };
      const limitMs = kitLimits.initializeMsMax;
      const refusal = await first.conversation.attempt('initialize', strange, limitMs);
      const what = 'initialize with protocol versions 9000 and 0.1';
      demandRefusal(refusal, [driverErrorCodes.unsupported], what);
      await first.conversation.leave();
      const { conversation, launched } = await kit.subject.start();
      const mixed = ['9000', protocolVersion, '0.1'];
      const params = { ...kit.subject.greeting(launched), protocol_versions: mixed };
      const { protocol_version: picked } = await conversation.call('initialize', params, limitMs);
      demand(picked === protocolVersion, () => `of ${mixed.join(', ')} it picked ${picked}`);
      await conversation.leave();
    },
  },
  {
    clause: 'D-INIT-3',
    needs: ['D-INIT-1', 'D-DISC-1'],
    run: async (kit) => {
      const { conversation, launched } = await kit.subject.start();
      const backend = kit.anyBackend();
      const early: [string, unknown][] = [
        ['discover', { backend: backend.name }],
        ['install', { backend, dry_run: false }],
      ];
      for (const [method, params] of early) {
        const answer = await conversation.attempt(method, params, kitLimits.initializeMsMax);
        demand('error' in answer, () => `${method} was answered before initialize`);
      }
      await kit.greet(conversation, launched);
      await conversation.call('discover', { backend: backend.name });
      await conversation.leave();
    },
  },
  {
    clause: 'D-INIT-4',
    needs: ['D-INIT-1', 'D-DISC-1'],
    run: async (kit) => {
      const good = kit.anyBackend();
      const bad = { name: notThere, kind: 'driver-test/no-such-kind', config: {} };
      const { conversation, launched } = await kit.subject.start();
      const greeting = { ...kit.subject.greeting(launched), backends: [bad, good] };
      await conversation.call('initialize', greeting, kitLimits.initializeMsMax);
      await conversation.call('discover', { backend: good.name });
      const answer = await conversation.attempt('discover', { backend: notThere });
      demandRefusal(answer, [driverErrorCodes.invalid], 'discover of a backend of unknown kind');
      await conversation.leave();
    },
  },
  {
    clause: 'D-INIT-5',
    needs: ['D-INIT-1'],
    run: async (kit) => {
      const { kinds } = await introduce(kit);
      demand(kinds.length > 0, () => 'it has no kind of backend');
      const names = kinds.map(({ kind }) => kind);
      demand(
        new Set(names).size === names.length,
        () => `a kind is there twice: ${names.join(', ')}`,
      );
      for (const one of kinds) checkKind(one);
    },
  },
  {
    clause: 'D-INIT-6',
    needs: ['D-INIT-1', 'D-DISC-1'],
    run: async (kit) => {
      const { conversation, launched } = await kit.subject.start();
      const greeting = kit.subject.greeting({ ...launched, stateDir: null });
      await conversation.call('initialize', greeting, kitLimits.initializeMsMax);
      await kit.discoverAll(conversation);
      await conversation.leave();
    },
  },
];

function checkKind({
  kind,
  config_schema: schema,
  delegable,
}: InitializeResult['kinds'][number]): void {
  const properties = schema['properties'] ?? {};
  if (schema['type'] !== 'object' || !isRecord(properties)) {
    throw new Broken(`config_schema of kind ${kind} does not describe an object`);
  }
  const strange = delegable.filter((key) => !Object.hasOwn(properties, key));
  const keys = Object.keys(properties).join(', ') || 'none';
  demand(
    strange.length === 0,
    () => `kind ${kind}: delegable names ${strange.join(', ')}; config_schema has ${keys}`,
  );
}
