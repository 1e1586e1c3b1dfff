import { describe, it } from 'vitest';

import { providerOf, uuid3 } from './provider.ts';

/** One deployable of each of upstream's drivers, with what Python's uuid.uuid3(uuid.NAMESPACE_DNS, name) says of its name. */
const deployables = [
  ['fake_driver', 'peerhost_FakeDevice', 'a51aff43-8b27-3efb-a909-82e2f0e7a067'],
  ['nvidia_gpu_driver', 'compute-1_0000:3b:00.0', '4dc17aab-79d3-3f4f-b61f-3cc3f3cb0ef8'],
  ['pci_driver', 'compute-1_0000:af:00.1', '4365eebf-d53b-321d-a16d-6a53f4519147'],
  [
    'intel_qat_driver',
    'compute-1.example.org_0000:85:01.0',
    'fa553a5a-d6cb-37e3-a833-4bea72a13f7f',
  ],
  ['intel_nic_driver', 'compute-2_0000:05:00.0', '41e7a201-751f-3198-ae1a-9dc6844d9668'],
  ['inspur_nvme_ssd_driver', 'compute-2_0000:5e:00.0', 'fc663f55-6637-3f4c-acc7-8806fe70062b'],
  ['intel_fpga_driver', 'compute-3_0000:18:00.0', '328ef6fb-d130-3939-a333-a939b9336836'],
  ['inspur_fpga_driver', 'compute-3_0000:3d:00.0', 'c3d3f5a7-8eb2-34d3-b437-4039f64f68cc'],
  ['xilinx_fpga_driver', 'compute-3_0000:d8:00.1', '242a9218-cd31-303f-a2c8-5c5c5a1c98d7'],
  ['huawei_ascend_driver', 'd802_0000:c1:00.0', '708b9415-b1f0-3910-b64e-dcadc23ec6a0'],
] as const;

describe('the resource provider of a deployable', () => {
  it.for(deployables)('of %s called %s is %s', ([, name, uuid], { expect }) => {
    expect(uuid3(name)).toBe(uuid);
  });

  it('exists for what Nova can bind only', ({ expect }) => {
    const name = 'peerhost_FakeDevice';
    const of = (...plans: string[]): string | null =>
      providerOf({ name, accelerators: [{ plans: [] }, { plans }] });
    expect(of('test-pci')).toBe('a51aff43-8b27-3efb-a909-82e2f0e7a067');
    expect(of('virtio-rng', 'pci')).toBe('a51aff43-8b27-3efb-a909-82e2f0e7a067');
    expect(of('virtio-rng')).toBeNull();
    expect(of()).toBeNull();
  });
});
