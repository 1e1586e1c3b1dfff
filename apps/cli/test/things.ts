/** For tests of the command line: what a server answers, as the schemas of the API have it. */
import type { V3Result } from '@cyborg/api-spec/v3';

export type Operation = V3Result<'showOperation'>;

export const id = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;
export const at = '2026-11-22T10:00:00.000Z';
export const accelerator: V3Result<'showAccelerator'> = {
  id: id(1),
  name: 'virtual-crypto-0',
  description: null,
  labels: {},
  type: 'CRYPTO',
  driver_id: 'generic',
  backend: 'virtual',
  host: 'demo-1',
  device_id: id(2),
  deployable_id: id(3),
  address: null,
  numa_node: null,
  resource_class: 'CUSTOM_CYBORG_CRYPTO',
  traits: ['CUSTOM_A', 'CUSTOM_B'],
  plans: ['virtio-crypto'],
  attach_info: {},
  iommu_group: null,
  pcie_root: null,
  resetless_reason: null,
  state: 'attached',
  reason: null,
  presence: 'present',
  absent_since: null,
  health: 'healthy',
  reserved_for: null,
  instance_id: id(5),
  project_id: 'demo',
  attachment_id: id(6),
  simulated: true,
  created_at: at,
  updated_at: null,
};
export const operation: Operation = {
  id: id(7),
  kind: 'attach-instance',
  state: 'queued',
  subject: { instance_id: id(5), attachment_ids: [id(6)], accelerator_ids: [id(1)] },
  progress: { done: 0, total: 1 },
  results: [],
  error: null,
  user_id: 'u',
  project_id: 'demo',
  created_at: at,
  updated_at: null,
  finished_at: null,
};
export const running: Operation = { ...operation, state: 'running' };
export const succeeded: Operation = {
  ...operation,
  state: 'succeeded',
  progress: { done: 1, total: 1 },
  finished_at: at,
};

export const instance: V3Result<'showInstance'> = {
  id: id(5),
  name: 'vm-1',
  host: 'demo-1',
  hypervisor: 'simulated',
  state: 'ACTIVE',
  project_id: null,
  project_source: null,
  plugs: [],
  numa_nodes: [],
  presence: 'present',
  attachments_total: 0,
  simulated: true,
  created_at: at,
  updated_at: null,
};
