/** The configuration of kind `pci`: which functions are listed, and which of them need no approval. */
import type { ConfigOf } from '@cyborg/driver-sdk/define-driver';
import { definitionLimits } from '../definitions/schema.ts';
import { acceleratorTypes } from '../functions.ts';

const hexId = {
  type: 'string',
  pattern: '^(0[xX])?[0-9a-fA-F]{4}$',
  description: 'Four hex digits, with or without 0x.',
} as const;

const classPrefix = {
  type: 'string',
  pattern: '^(0[xX])?[0-9a-fA-F]{2}([0-9a-fA-F]{2}){0,2}$',
  description:
    'The first two, four or six hex digits of the PCI class: 03 is every display controller.',
} as const;

const matchers = {
  vendor: { ...hexId, description: 'PCI vendor id, such as 10de.' },
  device: { ...hexId, description: 'PCI device id, such as 2330.' },
  class: classPrefix,
  kernel_driver: {
    type: 'string',
    maxLength: 64,
    description:
      'Name of the kernel driver bound now, such as nvme; "none" for an unbound function.',
  },
  address: {
    type: 'string',
    pattern: '^[0-9a-fA-F:.*?]{1,16}$',
    description: 'PCI address; * stands for any text, ? for one character: 0000:21:*.',
  },
} as const;

const unbindWishes = ['never', 'idle'] as const;

const rule = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ...matchers,
    offer: {
      type: 'boolean',
      default: false,
      description: 'What matches needs no approval.',
    },
    type: {
      enum: acceleratorTypes,
      description: 'What it is, where neither a definition nor the PCI class says.',
    },
    resource_class: {
      type: 'string',
      pattern: '^[A-Z0-9_]{1,255}$',
      description: "Placement resource class, in place of the type's own.",
    },
    traits: {
      type: 'array',
      maxItems: 32,
      items: { type: 'string', pattern: '^[A-Z0-9_]{1,255}$' },
      description: 'Placement traits beside those of every function.',
    },
    unbind: {
      enum: unbindWishes,
      description: 'The same as the key `unbind` above, for what the rule matches.',
    },
    resetless: {
      type: 'object',
      additionalProperties: false,
      required: ['accepted', 'reason'],
      description:
        'Gives out again what has no reset of its own, or keeps data through one (storage). Without it such an ' +
        'accelerator is cleaning_failed after its first use.',
      properties: {
        accepted: { const: true, description: 'That what a guest left in it is accepted.' },
        reason: {
          type: 'string',
          minLength: 1,
          maxLength: 255,
          description: 'Why; kept with each cleaning.',
        },
      },
    },
    vfs: {
      type: 'object',
      additionalProperties: false,
      required: ['count'],
      description:
        'Divides physical functions that it matches. While a virtual function is in use the number stays as it is.',
      properties: {
        count: {
          type: 'integer',
          minimum: 0,
          maximum: 1024,
          description: 'How many virtual functions there are to be; 0: none, the card is whole.',
        },
      },
    },
    definition: {
      type: 'string',
      pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
      description:
        'Id of the device definition that describes them; what it does not match, the rule does not either.',
    },
    mdev_type: {
      type: 'string',
      pattern: '^[A-Za-z0-9_.-]{1,128}$',
      description: 'Divide them into mediated devices of this type, such as nvidia-35.',
    },
    physical_network: {
      type: 'string',
      pattern: '^[A-Za-z0-9_.-]{1,64}$',
      description: 'The network that an interface is plugged into; goes into its attach handle.',
    },
    network_function: {
      type: 'string',
      pattern: '^[A-Za-z0-9_]{1,64}$',
      description: 'What an interface is for, as a trait says it.',
    },
  },
} as const;

export const pciConfig = {
  type: 'object',
  properties: {
    classes: {
      type: 'array',
      maxItems: 64,
      items: classPrefix,
      default: ['03', '12', '0b40', '10'],
      description:
        'PCI classes that are listed: display, processing accelerators, co-processors, encryption unless told.',
    },
    rules: {
      type: 'array',
      maxItems: 256,
      items: rule,
      default: [],
      description:
        'Functions that are listed beside those of `classes`. All that a rule names must hold; the first rule that ' +
        'matches a function decides what it says.',
    },
    unbind: {
      enum: unbindWishes,
      description:
        'Whether a function is taken from its kernel driver for a guest: never, so that only functions without a driver ' +
        'are given out, or while the driver is idle (nothing mounted, no interface up, no node open). It goes back to ' +
        'its driver afterwards. Absent: never. On a simulated host it makes no difference.',
    },
    exclude: {
      type: 'array',
      maxItems: 256,
      items: { type: 'object', additionalProperties: false, properties: matchers },
      default: [],
      description: 'Functions that are not listed, whatever the classes and rules say.',
    },
    definitions: {
      type: 'array',
      maxItems: definitionLimits.textsMax,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['file', 'text'],
        properties: {
          file: {
            type: 'string',
            pattern: '^[A-Za-z0-9_.-]{1,128}$',
            description: 'What errors call it.',
          },
          text: {
            type: 'string',
            minLength: 1,
            maxLength: definitionLimits.textCharactersMax,
            description: 'The definition, in YAML.',
          },
        },
      },
      description:
        'Device definitions beside those that come with the driver (docs/reference/device-definitions.md); ' +
        'one with the id of another replaces it.',
    },
    offer: {
      enum: ['none', 'rules', 'all'],
      description:
        'What needs no approval by an operator: nothing, what a rule with `offer: true` matches, or all. Absent: ' +
        '`rules`, and `all` on a simulated host. What the host itself uses is withheld in any case.',
    },
  },
  additionalProperties: false,
} as const;

export type PciConfig = ConfigOf<typeof pciConfig>;
export type PciRule = PciConfig['rules'][number];
export type PciMatcher = PciConfig['exclude'][number];
