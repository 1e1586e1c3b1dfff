/**
 * What a device definition may say. Texts that hold `{NAME}` are templates: docs/reference/device-definitions.md has
 * the names. `definitions/definition.schema.json` is made of this, for editors.
 */
import type { ConfigOf } from '@cyborg/driver-sdk/define-driver';
import { acceleratorTypes } from '../functions.ts';

export const definitionLimits = {
  /** Definitions of one backend's configuration. */
  textsMax: 32,
  textCharactersMax: 32 * 1024,
} as const;

const idPattern = '^(0[xX])?[0-9a-fA-F]{4}$';
const classPattern = '^(0[xX])?[0-9a-fA-F]{2}([0-9a-fA-F]{2}){0,2}$';
const wordPattern = '^[A-Za-z0-9_]{1,64}$';

const match = {
  type: 'object',
  additionalProperties: false,
  properties: {
    vendor: {
      type: 'string',
      pattern: '^(\\*|(0[xX])?[0-9a-fA-F]{4})$',
      description: 'PCI vendor id, such as 10de; * is any.',
    },
    device: { type: 'string', pattern: idPattern, description: 'PCI device id.' },
    subsystem_vendor: { type: 'string', pattern: idPattern, description: 'Who made the card.' },
    subsystem_device: { type: 'string', pattern: idPattern, description: 'Which card it is.' },
    class: {
      type: 'string',
      pattern: classPattern,
      description: 'The first two, four or six hex digits of the PCI class.',
    },
    kernel_driver: {
      type: 'string',
      minLength: 1,
      maxLength: 64,
      description: 'Kernel driver that is bound; none = unbound.',
    },
  },
} as const;

const name = {
  type: 'string',
  pattern: '^\\{host\\}_[A-Za-z0-9_.:{}-]{1,128}$',
  description:
    "The deployable's name in v2, and its resource provider's: {host}_{address} unless said.",
} as const;
const resourceClass = {
  type: 'string',
  pattern: '^[A-Z0-9_]{1,255}$',
  description: "Placement resource class; the type's own when absent.",
} as const;
const traits = {
  type: 'array',
  maxItems: 24,
  items: { type: 'string', pattern: '^[A-Z0-9_{}]{1,255}$' },
  description:
    'Placement traits beside those of every function. One whose value is unknown is left out.',
} as const;

const whole = {
  type: 'object',
  additionalProperties: false,
  description: 'The physical function given as one.',
  properties: { name, resource_class: resourceClass, traits, attach: { enum: ['pci'] } },
} as const;

const vfs = {
  type: 'object',
  additionalProperties: false,
  description: 'Its virtual functions.',
  properties: {
    name,
    resource_class: resourceClass,
    traits,
    attach: { enum: ['pci'] },
    max: {
      type: 'integer',
      minimum: 1,
      maximum: 1024,
      description: 'How many there may be, where that is fewer than the card says.',
    },
    deployable: {
      enum: ['each', 'together'],
      description: 'Whether each is a deployable, or all of a card are one (the default).',
    },
  },
} as const;

const mdev = {
  type: 'object',
  additionalProperties: false,
  description: 'Mediated devices, of the type that a rule of the backend names.',
  properties: {
    name,
    resource_class: resourceClass,
    traits,
    attach: { enum: ['mdev'] },
    types: {
      type: 'array',
      minItems: 1,
      maxItems: 256,
      items: { type: 'string', pattern: '^[A-Za-z0-9_.-]{1,128}$' },
      description: 'Types that may be named; absent = all that the card has.',
    },
  },
} as const;

const words = {
  type: 'object',
  additionalProperties: { type: 'string', pattern: wordPattern },
} as const;

export const healthSources = ['aer', 'link', 'link-width', 'hwmon'] as const;
export type HealthSource = (typeof healthSources)[number];

export const definitionSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'title', 'match'],
  properties: {
    id: {
      type: 'string',
      pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
      description:
        'What rules and errors call it. One of the configuration replaces a shipped one.',
    },
    title: { type: 'string', minLength: 1, maxLength: 255, description: 'What it is, for people.' },
    use: {
      enum: ['match', 'rule'],
      description:
        'match (the default): describes what it matches. rule: only where a rule names it.',
    },
    match: {
      type: 'array',
      minItems: 1,
      maxItems: 64,
      items: match,
      description: 'Functions that it describes. All that one entry names must hold.',
    },
    type: {
      enum: acceleratorTypes,
      description: 'What it is; by PCI class when absent.',
    },
    services: {
      type: 'array',
      minItems: 1,
      maxItems: 8,
      uniqueItems: true,
      items: { type: 'string', pattern: '^[a-z]{1,32}\\.[a-z0-9-]{1,32}$' },
      description: "Functions that it offers, of its type's family: gpu.compute.",
    },
    vendors: { ...words, description: 'The word for {VENDOR}, by PCI vendor id.' },
    models: { ...words, description: 'The word for {MODEL}, by PCI device id.' },
    read: {
      type: 'object',
      additionalProperties: {
        type: 'array',
        minItems: 1,
        maxItems: 8,
        items: {
          type: 'string',
          pattern: '^[A-Za-z0-9_*-][A-Za-z0-9_.*-]*(/[A-Za-z0-9_*-][A-Za-z0-9_.*-]*){0,7}$',
        },
      },
      description:
        'More names for templates, and the attributes below the function that give their values; * stands for any text.',
    },
    functions: {
      enum: ['apart', 'together'],
      description: 'together: the functions in one slot that it matches are one device.',
    },
    whole,
    vfs,
    mdev,
    reset: {
      type: 'array',
      minItems: 1,
      maxItems: 8,
      uniqueItems: true,
      items: { enum: ['device_specific', 'acpi', 'flr', 'af_flr', 'pm', 'bus', 'cxl_bus'] },
      description: "The kernel's reset methods that clean it, the best first.",
    },
    clean: {
      type: 'array',
      minItems: 1,
      maxItems: 8,
      uniqueItems: true,
      items: { enum: ['reset', 'verify-ids', 'verify-config', 'erase-namespaces'] },
      description: 'What must be done between two holders, in order.',
    },
    health: {
      type: 'array',
      maxItems: 4,
      uniqueItems: true,
      items: { enum: healthSources },
      description: 'Where its health is read; [] = nowhere. Absent: aer, link-width, hwmon.',
    },
  },
} as const;

export type Definition = ConfigOf<typeof definitionSchema>;
export type DefinitionMatch = Definition['match'][number];

export const defaultHealthSources: readonly HealthSource[] = ['aer', 'link-width', 'hwmon'];
