import { deviceName } from '@cyborg/model/epoch';
import { describe, it } from 'vitest';

import { compare, type Finding } from './compare.ts';
import { toTable } from './print.ts';
import type { AgentSays, HostSays, StoreSays } from './says.ts';

const attachment = '0192d5c4-0000-7000-8000-000000000001';
const guest = '0192d5c4-0000-7000-8000-00000000000a';
const ledger = { id: 'l', incarnation: 1 };
const address = '0000:21:00.0';
const name = deviceName(attachment, 4_294_967_297);

const store: StoreSays = {
  ledger,
  agent_instance: 'i',
  installations: [{ driver_id: 'generic', running_version: '1.0.0' }],
  backends: [{ id: 'b', name: 'pci', state: 'ready', inventory_hash: 'h' }],
  functions: [{ address, presence: 'present', kernel_driver: 'vfio-pci', backend_id: 'b' }],
  attachments: [
    {
      id: attachment,
      device_epoch: 4_294_967_297,
      state: 'attached',
      instance_id: guest,
      plugged_by: 'agent',
    },
  ],
};
const functions = [{ address, kernel_driver: 'vfio-pci' }];
const guests = { is_complete: true, devices: [{ name, instance_id: guest }] };
const agent: AgentSays = {
  host: 'node-1',
  instance: 'i',
  ledger,
  lease_held: true,
  installations: [{ driver_id: 'generic', running_version: '1.0.0' }],
  backends: [{ id: 'b', state: 'ready', inventory_hash: 'h', functions }],
  hypervisor: guests,
  held: [attachment],
};
const host: HostSays = { functions, hypervisor: guests };

function verdictOf(findings: readonly Finding[], subject: string): string | undefined {
  return findings.find((finding) => finding.subject.startsWith(subject))?.verdict;
}

describe('compare', () => {
  it('finds nothing where all say the same', ({ expect }) => {
    const verdicts = compare({ store, agent, host }).map(({ verdict }) => verdict);
    expect(new Set(verdicts)).toEqual(new Set(['same']));
  });

  it('never takes what a source does not know for nothing', ({ expect }) => {
    const blind = { ...agent, hypervisor: null };
    expect(verdictOf(compare({ store, agent: blind, host: undefined }), 'device')).toBe('unknown');
    const partly = { ...host, hypervisor: { is_complete: false, devices: [] } };
    expect(verdictOf(compare({ store, agent, host: partly }), 'device')).toBe('unknown');
    const all = compare({ store: { unknown: 'away' }, agent, host });
    expect(all.some(({ verdict }) => verdict === 'same')).toBe(false);
    expect(toTable(all)).toContain('unknown: away');
    const going = {
      ...store,
      attachments: store.attachments.map((one) => ({ ...one, state: 'detaching' })),
    };
    const gone = { is_complete: true, devices: [] };
    const detached = { ...agent, hypervisor: gone };
    expect(verdictOf(compare({ store: going, agent: detached, host: undefined }), 'device')).toBe(
      'unknown',
    );
  });

  it.for<[string, { readonly [Source in 'store' | 'agent' | 'host']?: object }]>([
    ['device', { host: { ...host, hypervisor: { is_complete: true, devices: [] } } }],
    ['attachment device', { store: { ...store, attachments: [] } }],
    ['function', { host: { ...host, functions: [] } }],
    ['function', { host: { ...host, functions: [{ address, kernel_driver: 'nouveau' }] } }],
    ['backend', { agent: { ...agent, backends: [{ ...agent.backends[0], inventory_hash: 'x' }] } }],
    ['driver', { agent: { ...agent, installations: [] } }],
    ['host', { agent: { ...agent, ledger: { id: 'l', incarnation: 2 } } }],
  ])('sees that a %s differs', ([subject, change], { expect }) => {
    const sources = { store, agent, host, ...change } as Parameters<typeof compare>[0];
    const differing = compare(sources).filter(({ verdict }) => verdict === 'differs');
    const kinds = differing.map((found) => found.subject.split(' ')[0]);
    expect([...new Set(kinds)].join(' ')).toBe(subject);
  });

  it('does not take for another what an agent that has just started has not looked at', ({
    expect,
  }) => {
    const before = { id: 'b', state: null, inventory_hash: null, functions: null };
    const started = { ...agent, backends: [before] };
    const found = compare({ store, agent: started, host });
    expect(found.filter(({ verdict }) => verdict === 'differs')).toEqual([]);
    expect(verdictOf(found, 'backend')).toBe('unknown');
  });

  it('says of a single source what it says', ({ expect }) => {
    const verdicts = compare({ store, agent: undefined, host: undefined }).map(
      (one) => one.verdict,
    );
    expect(new Set(verdicts)).toEqual(new Set(['alone']));
  });
});
