import { describe, it } from 'vitest';
import { deviceXml, readDomain } from './domain-xml.ts';
import { choosePort } from './ports.ts';

const root = (index: number, { target = '', more = '' } = {}): string =>
  `<controller type='pci' index='${index}' model='pcie-root-port'><model name='pcie-root-port'/>
  <target chassis='${index}' port='0x${index}' ${target}/>${more}</controller>`;

/** A domain of a guest with two cells, each with an expander of its own, and a function at boot. */
const domain = (devices: string): string => `<domain type='kvm'>
  <name>web</name><vcpu placement='static' cpuset='0-7'>2</vcpu>
  <numatune><memory mode='strict' nodeset='0-1'/>
    <memnode cellid='0' mode='strict' nodeset='1'/><memnode cellid='1' mode='strict' nodeset='0'/></numatune>
  <cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='4-5'/></cputune>
  <devices><controller type='pci' index='0' model='pcie-root'/>
  <controller type='pci' index='7' model='pcie-expander-bus'><target busNr='64'><node>0</node></target></controller>
  ${root(1)}${root(2, { target: "hotplug='off'" })}${root(3)}
  ${root(4, { more: "<address type='pci' domain='0x0000' bus='0x07' slot='0x00' function='0x0'/>" })}
  <interface type='hostdev'><source><address type='pci' domain='0x0000' bus='0x21' slot='0x01' function='0x2'/></source>
    <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>${devices}</devices></domain>`;

describe('the XML of a domain', () => {
  it('tells what hardware of the host it has, and which ports are free', ({ expect }) => {
    const ours = `<hostdev mode='subsystem' type='pci' managed='no'><driver name='vfio'/>
      <source><address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/></source>
      <alias name='ua-cyborg-0a-1'/><address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/></hostdev>`;
    const before = readDomain(domain(''));
    expect(before?.functions).toEqual(['0000:21:01.2']);
    expect(before?.freePorts.map(({ bus }) => bus)).toEqual([3, 4]);
    expect(before).toMatchObject({ hasHotplug: true, memoryNodes: [0, 1, 1, 0] });
    expect(before?.cpus).toEqual(new Set([2, 4, 5]));
    const after = readDomain(domain(ours));
    expect(after).toMatchObject({
      deviceNames: ['ua-cyborg-0a-1'],
      functions: ['0000:41:00.0', '0000:21:01.2'],
    });
    expect([...(after?.deviceAddresses ?? [])]).toEqual([['ua-cyborg-0a-1', '0000:41:00.0']]);
    expect(after?.freePorts.map(({ bus }) => bus)).toEqual([4]);
  });

  it('tells of a whole drive that QEMU drives itself, and of no function where there is none', ({
    expect,
  }) => {
    const target = "<target dev='vda' bus='virtio'/>";
    const place = "<address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>";
    const nvme = `<disk type='nvme' device='disk'><driver name='qemu' type='raw'/>
      <source type='pci' managed='yes' namespace='1'>
      <address domain='0x0000' bus='0x61' slot='0x00' function='0x0'/></source>${target}${place}</disk>`;
    const others = `<disk type='file' device='disk'><source file='/a'/>${target}${place}</disk>
      <hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/>
      <address bus='0' target='0' unit='0'/></source></hostdev>
      <hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>`;
    const found = readDomain(domain(nvme + others))?.functions.toSorted();
    expect(found).toEqual(['0000:21:01.2', '0000:61:00.0']);
  });

  it('knows no CPUs where a virtual one may run anywhere', ({ expect }) => {
    const free = "<domain><name>a</name><vcpu>2</vcpu><cputune><vcpupin vcpu='0' cpuset='2'/>";
    const found = readDomain(`${free}</cputune></domain>`);
    expect(found?.cpus).toEqual(new Set());
    expect(found).toMatchObject({ hasHotplug: false, freePorts: [], memoryNodes: [] });
  });

  it('gets a port near the hardware that is free at the next start too', ({ expect }) => {
    const ports = readDomain(domain(''))?.freePorts ?? [];
    expect(choosePort(ports, ports, 1)).toBe(4);
    expect(choosePort(ports, ports, 0)).toBe(3);
    expect(choosePort(ports, ports, undefined)).toBe(3);
    expect(choosePort(ports, ports.slice(1), undefined)).toBe(4);
    expect(choosePort(ports, [], undefined)).toBeNull();
  });

  it('hands a function over as it is, and leaves its binding alone', ({ expect }) => {
    const xml = deviceXml({ kind: 'pci', address: '0001:2a:1f.7' }, 'ua-cyborg-0a-1', 11);
    expect(xml).toBe(
      '<hostdev mode="subsystem" type="pci" managed="no">' +
        '<source><address domain="0x0001" bus="0x2a" slot="0x1f" function="0x7"></address></source>' +
        '<alias name="ua-cyborg-0a-1"></alias>' +
        '<address type="pci" domain="0x0000" bus="0xb" slot="0x00" function="0x0"></address></hostdev>',
    );
  });

  it('hands a mediated device over by its UUID', ({ expect }) => {
    const uuid = '00000000-0000-4000-8000-000000000001';
    const plan = { kind: 'mdev', uuid, parent: '0000:21:00.0', type: 'nvidia-35' } as const;
    expect(deviceXml(plan, 'ua-cyborg-0a-1', null)).toBe(
      '<hostdev mode="subsystem" type="mdev" model="vfio-pci">' +
        `<source><address uuid="${uuid}"></address></source><alias name="ua-cyborg-0a-1"></alias></hostdev>`,
    );
  });
});
