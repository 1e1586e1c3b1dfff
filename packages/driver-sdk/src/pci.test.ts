import fc from 'fast-check';
import { describe, it } from 'vitest';
import {
  comparePciAddresses,
  findSerialNumber,
  formatPciAddress,
  parsePciAddress,
  parseVpd,
  toAttachInfo,
} from './pci.ts';

const addresses = fc.record({
  domain: fc.nat(0xffffffff),
  bus: fc.nat(0xff),
  device: fc.nat(0x1f),
  function: fc.nat(7),
});

describe('PCI addresses', () => {
  it('survive being written and read, with domains of 16 and 32 bits', ({ expect }) => {
    fc.assert(
      fc.property(addresses, (address) => {
        expect(parsePciAddress(formatPciAddress(address))).toEqual(address);
      }),
    );
    expect(parsePciAddress('10000:e1:00.0')?.domain).toBe(0x10000);
    expect(formatPciAddress({ domain: 0x10000, bus: 0xe1, device: 0, function: 0 })).toBe(
      '10000:e1:00.0',
    );
  });

  it('are not read out of anything else', ({ expect }) => {
    const others = ['', '21:00.0', '0000:21:20.0', '0000:21:00.8', '0000:21:00.0x', 'pci0000:00'];
    for (const text of others) expect(parsePciAddress(text), text).toBeUndefined();
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parsePciAddress(text);
        return (
          parsed === undefined || formatPciAddress(parsed).endsWith(text.toLowerCase().slice(-7))
        );
      }),
    );
  });

  it('sort by number, a long domain after a short one', ({ expect }) => {
    const [long, short] = ['10000:00:00.0', '2000:00:00.0'].map((text) => parsePciAddress(text));
    if (long === undefined || short === undefined) throw new Error('not read');
    expect(comparePciAddresses(long, short)).toBeGreaterThan(0);
  });

  it('become the strings of an attach handle', ({ expect }) => {
    expect(toAttachInfo({ domain: 0, bus: 0x3b, device: 1, function: 2 })).toEqual({
      domain: '0000',
      bus: '3b',
      device: '01',
      function: '2',
    });
  });
});

describe('findSerialNumber', () => {
  it('follows the list of extended capabilities', ({ expect }) => {
    const config = Buffer.alloc(4096);
    config.writeUInt32LE(0x14010001, 0x100); // AER, next at 0x140
    config.writeUInt32LE(0x00010003, 0x140);
    config.writeBigUInt64LE(0x0011223344556677n, 0x144);
    expect(findSerialNumber(config)).toBe('00-11-22-33-44-55-66-77');
  });

  it('takes no number for one that a card was never given', ({ expect }) => {
    const config = Buffer.alloc(4096);
    config.writeUInt32LE(0x00010003, 0x100);
    for (const number of [0n, 2n ** 64n - 1n, 0x0000c9ffff000000n, 0x0011223344ffffffn]) {
      config.writeBigUInt64LE(number, 0x104);
      expect(findSerialNumber(config)).toBeUndefined();
    }
  });

  it('survives any bytes, also a list that runs in circles', ({ expect }) => {
    const circle = Buffer.alloc(4096);
    circle.writeUInt32LE(0x10010001, 0x100);
    expect(findSerialNumber(circle)).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
        const serial = findSerialNumber(Buffer.from(bytes));
        return serial === undefined || /^(?:[0-9a-f]{2}-){7}[0-9a-f]{2}$/u.test(serial);
      }),
    );
  });
});

describe('parseVpd', () => {
  it('reads the name and the read-only keywords', ({ expect }) => {
    const name = Buffer.from('Test card');
    const fields = Buffer.from('PN\x03ABCSN\x04\x31234RV\x01\x00', 'latin1');
    const header = (tag: number, length: number): Buffer => Buffer.from([tag, length, 0]);
    const data = Buffer.concat([
      header(0x82, name.length),
      name,
      header(0x90, fields.length),
      fields,
      Buffer.from([0x78]),
    ]);
    expect(Object.fromEntries(parseVpd(data))).toEqual({ id: 'Test card', PN: 'ABC', SN: '1234' });
  });

  it('survives any bytes', ({ expect }) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const values = [...parseVpd(Buffer.from(bytes)).values()];
        expect(values.every((text) => /^[ -~]+$/u.test(text))).toBe(true);
      }),
    );
  });
});
