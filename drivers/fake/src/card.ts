/** Kind `card`: one FPGA with handles of type TEST_PCI. Nova binds them, and no hypervisor plugs anything. */
import {
  defineKind,
  type BackendContext,
  type ConfigOf,
  type Kind,
  type PrepareOrder,
} from '@cyborg/driver-sdk/define-driver';
import { programCard as program, writtenOf } from './program.ts';
import { deployableName } from '@cyborg/driver-sdk/deployable-name';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan, DriverAccelerator, Inventory } from '@cyborg/driver-sdk/protocol';

const config = {
  type: 'object',
  properties: {
    count: {
      type: 'integer',
      minimum: 1,
      // The last that a bus has an address for.
      maximum: 255,
      default: 16,
      description: 'How many handles the card has.',
    },
    program_seconds: {
      type: 'number',
      minimum: 0,
      maximum: 3600,
      default: 0,
      description: 'How long it takes to write a program image.',
    },
    program_fails: {
      type: 'boolean',
      default: false,
      description: 'Writing a program image fails when that time is over.',
    },
  },
  additionalProperties: false,
} as const;

type Context = BackendContext<ConfigOf<typeof config>>;

export const cardKind: Kind = defineKind({
  title: 'A card that is not there: an FPGA whose handles are of type TEST_PCI',
  config,
  delegable: [],
  discover: (context) => discover(context),
  prepare: (context, order) => prepare(context, order),
  release: () => undefined,
  update: (context, order, tell) => program(context, order, tell),
  clean: () => ['there is no device, so nothing is left of its last holder'],
});

const functionsPerDevice = 8;

function handlesOf({ config: { count } }: Context): DriverAccelerator[] {
  return Array.from({ length: count }, (_, index) => toHandle(index + 1));
}

function toHandle(number: number): DriverAccelerator {
  return {
    key: `fake-${number}`,
    name: `fake-${number}`,
    type: 'FPGA',
    plans: ['test-pci'],
    offered: true,
    reason: null,
    host_use: null,
    attach_info: {
      domain: '0000',
      bus: '0c',
      device: String(Math.floor(number / functionsPerDevice)),
      function: String(number % functionsPerDevice),
    },
  };
}

function discover(context: Context): Inventory {
  const accelerators = handlesOf(context);
  const key = 'fake';
  return {
    devices: [
      {
        key,
        address: null,
        vendor_id: null,
        device_id: '0xabcd',
        class: 'Fake class',
        type: 'FPGA',
        vendor: '0xABCD',
        model: null,
        serial: null,
        numa_node: null,
        iommu_group: null,
        kernel_driver: null,
        offered: true,
        reason: null,
        health: { status: 'healthy', reason: null },
        info: { vendor_board_info: 'fake_vendor_info', ...writtenOf(context) },
        deployables: [
          {
            key,
            name: deployableName(context.host.node_name, 'FakeDevice'),
            resource_class: 'FPGA',
            traits: ['CUSTOM_FAKE_DEVICE'],
            accelerators,
          },
        ],
      },
    ],
    services: [
      {
        name: 'fpga.compute',
        kind: 'function',
        state: 'up',
        reason: null,
        accelerators_total: accelerators.length,
        accelerators_offered: accelerators.length,
      },
    ],
  };
}

function prepare(context: Context, { accelerator: key, plugs }: PrepareOrder): AttachPlan {
  const handle = handlesOf(context).find((one) => one.key === key);
  if (handle === undefined) {
    throw new DriverError('gone', `backend ${context.backend} has no accelerator ${key}`);
  }
  if (!plugs.includes('test-pci')) {
    throw new DriverError(
      'unsupported',
      `${key} is for Nova's tests: no hypervisor can plug what is not there`,
    );
  }
  const { domain = '', bus = '', device = '', function: fn = '' } = handle.attach_info;
  return { kind: 'test-pci', address: `${domain}:${bus}:${device.padStart(2, '0')}.${fn}` };
}
