/** An inventory for people: one line for each accelerator. */
import type { Inventory } from '@cyborg/driver-sdk/protocol';

const headings = [
  'ADDRESS',
  'ID',
  'CLASS',
  'TYPE',
  'MODEL',
  'NUMA',
  'GROUP',
  'DRIVER',
  'ACCELERATOR',
  'OFFERED',
  'REASON',
];

export function renderTable(inventory: Inventory): string {
  const rows = inventory.devices.flatMap((device) =>
    device.deployables.flatMap((part) =>
      part.accelerators.map((accelerator) => [
        device.address ?? '-',
        device.vendor_id === null ? '-' : `${device.vendor_id}:${device.device_id ?? '?'}`,
        device.class ?? '-',
        accelerator.type,
        [device.vendor, device.model].filter((text) => text !== null).join(' ') || '-',
        String(device.numa_node ?? '-'),
        String(device.iommu_group ?? '-'),
        device.kernel_driver ?? '-',
        accelerator.name,
        accelerator.offered ? 'yes' : 'no',
        accelerator.reason ?? '-',
      ]),
    ),
  );
  const table = [headings, ...rows];
  const widths = headings.map((_, column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  );
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const services = inventory.services.map(
    ({ name, state, accelerators_total: total, accelerators_offered: offered }) =>
      `${name}: ${state}, ${offered} of ${total} offered`,
  );
  return [...lines, '', ...services].join('\n').trimEnd();
}
