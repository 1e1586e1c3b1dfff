/** Accelerators, instances, attachments and what nobody claims. */
import { acceleratorLifecycle } from '@cyborg/model/accelerator-lifecycle';
import Type, { type Static } from 'typebox';

import {
  AcceleratorTypeSchema,
  DryRunSchema,
  IdempotencyHeaders,
  IfMatchHeaders,
  InstantSchema,
  LabelsSchema,
  NameSchema,
  Nullable,
  PageOf,
  StringsSchema,
  TextSchema,
  UuidSchema,
  closed,
  dryRunQuery,
  limits,
  oneOf,
  pageQuery,
  problems,
} from '../common.ts';
import { v3Routes } from '../routes.ts';
import { OperationSchema } from './operations.ts';

export const AcceleratorSchema = Type.Object({
  id: UuidSchema,
  name: Type.String(),
  description: Nullable(Type.String()),
  labels: LabelsSchema,
  type: Type.String(),
  driver_id: Type.String(),
  backend: Type.String(),
  host: Type.String(),
  device_id: UuidSchema,
  deployable_id: UuidSchema,
  address: Nullable(Type.String()),
  numa_node: Nullable(Type.Integer()),
  resource_class: Type.String(),
  traits: Type.Array(Type.String()),
  plans: Type.Array(Type.String()),
  attach_info: StringsSchema,
  /** Accelerators of one IOMMU group of a host are given to one instance, all or none; null: none, or not known. */
  iommu_group: Nullable(Type.Integer()),
  /** Address of the PCIe root port above it: what `same_root` compares. */
  pcie_root: Nullable(Type.String()),
  /** Why an operator accepts that it is given out without a reset where it has none. */
  resetless_reason: Nullable(Type.String()),
  /** withheld, available, reserved, attached, cleaning, cleaning_failed, updating or orphaned. */
  state: Type.String(),
  /** Why it is withheld, or why cleaning failed. */
  reason: Nullable(Type.String()),
  /** present, absent or stale. */
  presence: Type.String(),
  absent_since: Nullable(InstantSchema),
  health: Type.String(),
  reserved_for: Nullable(Type.String()),
  instance_id: Nullable(UuidSchema),
  project_id: Nullable(Type.String()),
  attachment_id: Nullable(UuidSchema),
  simulated: Type.Boolean(),
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
});
export type Accelerator = Static<typeof AcceleratorSchema>;

export const InstanceSchema = Type.Object({
  id: UuidSchema,
  name: Type.String(),
  host: Type.String(),
  hypervisor: Type.String(),
  state: Type.String(),
  project_id: Nullable(Type.String()),
  project_source: Nullable(Type.String()),
  /** Kinds of attach plan its hypervisor can plug. */
  plugs: Type.Array(Type.String()),
  /** Host NUMA nodes of its memory and CPUs; empty: not known. */
  numa_nodes: Type.Array(Type.Integer()),
  /** present, missing (not seen lately) or vanished. */
  presence: Type.String(),
  attachments_total: Type.Integer(),
  simulated: Type.Boolean(),
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
});
export type Instance = Static<typeof InstanceSchema>;

export const AttachmentSchema = Type.Object({
  id: UuidSchema,
  accelerator_id: Nullable(UuidSchema),
  accelerator_name: Nullable(Type.String()),
  accelerator_type: Nullable(Type.String()),
  instance_id: Nullable(UuidSchema),
  host: Nullable(Type.String()),
  project_id: Type.String(),
  user_id: Type.String(),
  origin: Type.String(),
  state: Type.String(),
  reason: Nullable(Type.String()),
  plugged_by: Type.String(),
  observed: Type.String(),
  /** Its id in the hypervisor: `ua-cyborg-<attachment>-<epoch>`. */
  device_name: Nullable(Type.String()),
  profile_id: Nullable(UuidSchema),
  operation_id: Nullable(UuidSchema),
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
});
export type Attachment = Static<typeof AttachmentSchema>;

export const UnclaimedSchema = Type.Object({
  id: UuidSchema,
  host: Type.String(),
  instance_id: UuidSchema,
  device_name: Type.String(),
  /** Which one it is; null: nobody knows. */
  accelerator_id: Nullable(UuidSchema),
  accelerator_name: Nullable(Type.String()),
  address: Nullable(
    Type.String({ description: 'PCI address of the function that the instance has.' }),
  ),
  ordered: Nullable(Type.Literal('release')),
  reason: Nullable(Type.String({ description: 'What keeps an ordered release from being done.' })),
  first_seen_at: InstantSchema,
});
export type Unclaimed = Static<typeof UnclaimedSchema>;

const idParams = Type.Object({ id: UuidSchema }, closed);
const instanceParams = Type.Object(
  {
    instance_id: Type.String({
      minLength: 1,
      maxLength: 255,
      description: 'UUID, or a name that is unique.',
    }),
  },
  closed,
);
const AcceleratorKeySchema = Type.String({
  minLength: 1,
  maxLength: limits.nameLengthMax,
  pattern: '^[^\\u0000-\\u001f]+$',
  description: "an id, or a name that is unique on the instance's host",
});

export const acceleratorOperations = {
  listAccelerators: {
    ...v3Routes.listAccelerators,
    action: 'accelerator:list',
    schema: {
      summary: 'List accelerators and who holds them',
      querystring: Type.Object(
        {
          driver_id: Type.Optional(Type.String({ maxLength: 64 })),
          backend: Type.Optional(Type.String({ maxLength: 320 })),
          host: Type.Optional(Type.String({ maxLength: 255 })),
          instance_id: Type.Optional(UuidSchema),
          project_id: Type.Optional(Type.String({ maxLength: 255 })),
          state: Type.Optional(oneOf(Object.keys(acceleratorLifecycle.rules))),
          type: Type.Optional(AcceleratorTypeSchema),
          trait: Type.Optional(Type.String({ maxLength: 255 })),
          name: Type.Optional(
            Type.String({ maxLength: 255, description: 'What its name begins with.' }),
          ),
          sort: Type.Optional(oneOf(['name', '-name', 'type', '-type', 'state', '-state'])),
          ...pageQuery,
        },
        closed,
      ),
      response: { 200: PageOf(AcceleratorSchema), ...problems },
    },
  },
  showAccelerator: {
    ...v3Routes.showAccelerator,
    action: 'accelerator:show',
    schema: {
      summary: 'Show an accelerator',
      params: idParams,
      response: { 200: AcceleratorSchema, ...problems },
    },
  },
  listAcceleratorAttachments: {
    ...v3Routes.listAcceleratorAttachments,
    action: 'attachment:list',
    schema: {
      summary: 'Who has held an accelerator and when, newest first',
      description: 'Ended attachments too; those of other projects only for admins.',
      params: idParams,
      querystring: Type.Object(pageQuery, closed),
      response: { 200: PageOf(AttachmentSchema), ...problems },
    },
  },
  createAccelerator: {
    ...v3Routes.createAccelerator,
    action: 'accelerator:create',
    schema: {
      summary: 'Put one more accelerator on offer',
      description:
        'On a `pci` backend: a withheld function, by `address`. On `virtual`: one more, of `function` crypto or entropy. ' +
        'On `static`: the declared `item`.',
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object(
        {
          backend: Type.String({
            minLength: 1,
            maxLength: 320,
            description: '`host@backend` or the id.',
          }),
          name: Type.Optional(NameSchema),
          address: Type.Optional(Type.String({ minLength: 7, maxLength: 32 })),
          function: Type.Optional(Type.Union([Type.Literal('crypto'), Type.Literal('entropy')])),
          item: Type.Optional(
            Type.Record(Type.String({ maxLength: 64 }), Type.Unknown(), { maxProperties: 32 }),
          ),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 201: AcceleratorSchema, ...problems },
    },
  },
  updateAccelerator: {
    ...v3Routes.updateAccelerator,
    action: 'accelerator:update',
    schema: {
      summary: 'Name, label, offer, withhold, clean again or reserve an accelerator',
      description:
        "`state`, `resetless_reason` and `reserved_for` are an admin's; `description` a manager's; `name` and `labels` also a member's, for what their project holds. " +
        'What a project writes lasts until it lets go. ' +
        '`state: available` approves; from cleaning_failed it needs a `reason`. ' +
        '`state: cleaning` cleans again what is cleaning_failed, once its cause is mended.',
      params: idParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      body: Type.Object(
        {
          name: Type.Optional(NameSchema),
          description: Type.Optional(Nullable(TextSchema)),
          labels: Type.Optional(LabelsSchema),
          state: Type.Optional(
            Type.Union([
              Type.Literal('available'),
              Type.Literal('withheld'),
              Type.Literal('cleaning'),
            ]),
          ),
          reason: Type.Optional(TextSchema),
          resetless_reason: Type.Optional(
            Nullable(
              Type.String({
                minLength: 1,
                maxLength: 1024,
                pattern: '^[^\\u0000]*$',
                description:
                  'Why it may be given out though it has no reset; kept as evidence. Null takes it back.',
              }),
            ),
          ),
          reserved_for: Type.Optional(Nullable(Type.String({ minLength: 1, maxLength: 255 }))),
        },
        { ...closed, minProperties: 1 },
      ),
      response: { 200: Type.Union([AcceleratorSchema, DryRunSchema]), ...problems },
    },
  },
  identifyAccelerator: {
    ...v3Routes.identifyAccelerator,
    action: 'accelerator:identify',
    schema: {
      summary: 'Say that a card which appeared is the one that is gone',
      description:
        'For an accelerator that is withheld because nobody knows which card it is: it, and what else was found of its card, becomes the card of `same_as` again, under the ids of that one; what is attached follows. The answer is the accelerator of `same_as`.',
      params: idParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object(
        {
          same_as: UuidSchema,
          reason: Type.String({
            minLength: 1,
            maxLength: 1024,
            pattern: '^[^\\u0000]*$',
            description: 'How one knows; kept in the event `device.identified`.',
          }),
        },
        closed,
      ),
      response: { 200: Type.Union([AcceleratorSchema, DryRunSchema]), ...problems },
    },
  },
  deleteAccelerator: {
    ...v3Routes.deleteAccelerator,
    action: 'accelerator:delete',
    schema: {
      summary: 'The inverse of create, or takes off the list what is gone; refused while held',
      params: idParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      response: { 200: DryRunSchema, 204: Type.Null(), ...problems },
    },
  },
  listInstances: {
    ...v3Routes.listInstances,
    action: 'instance:list',
    schema: {
      summary: 'List instances',
      querystring: Type.Object(
        {
          host: Type.Optional(Type.String({ maxLength: 255 })),
          project_id: Type.Optional(Type.String({ maxLength: 255 })),
          ...pageQuery,
        },
        closed,
      ),
      response: { 200: PageOf(InstanceSchema), ...problems },
    },
  },
  showInstance: {
    ...v3Routes.showInstance,
    action: 'instance:show',
    schema: {
      summary: 'Show an instance',
      params: instanceParams,
      response: { 200: InstanceSchema, ...problems },
    },
  },
  updateInstance: {
    ...v3Routes.updateInstance,
    action: 'instance:update',
    schema: {
      summary: 'Say which project a stand-alone instance belongs to',
      params: instanceParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      body: Type.Object(
        { project_id: Nullable(Type.String({ minLength: 1, maxLength: 255 })) },
        closed,
      ),
      response: { 200: Type.Union([InstanceSchema, DryRunSchema]), ...problems },
    },
  },
  listAttachments: {
    ...v3Routes.listAttachments,
    action: 'attachment:list',
    schema: {
      summary: 'What an instance holds',
      params: instanceParams,
      querystring: Type.Object(pageQuery, closed),
      response: { 200: PageOf(AttachmentSchema), ...problems },
    },
  },
  createAttachments: {
    ...v3Routes.createAttachments,
    action: 'attachment:create',
    schema: {
      summary: 'Attach accelerators to an instance',
      description:
        'All of `count` (1 unless said), or none; `subject.chosen` of the operation says why these. Without a choice: one of the only kind that is free on its host, else `choice-needed` with the choices.',
      params: instanceParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object(
        {
          accelerator: Type.Optional(AcceleratorKeySchema),
          profile: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
          driver: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
          accelerators: Type.Optional(
            Type.Array(AcceleratorKeySchema, {
              minItems: 1,
              maxItems: limits.attachCountMax,
              description:
                'Several by name: those of one IOMMU group go to one instance, all or none.',
            }),
          ),
          count: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.attachCountMax })),
          traits: Type.Optional(
            Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
              minItems: 1,
              maxItems: limits.attachTraitsMax,
              description: 'What each of them must have.',
            }),
          ),
          numa_node: Type.Optional(
            Type.Integer({
              minimum: 0,
              maximum: 65_535,
              description:
                "The host's node that they must be on; without it those of the instance's are preferred.",
            }),
          ),
          same_root: Type.Optional(
            Type.Boolean({ description: 'All of them under one PCIe root port.' }),
          ),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
  deleteAttachments: {
    ...v3Routes.deleteAttachments,
    action: 'attachment:delete',
    schema: {
      summary: 'Detach some accelerators, or all of origin cyborg; done when they are clean',
      params: instanceParams,
      querystring: Type.Object(
        {
          accelerator: Type.Optional(AcceleratorKeySchema),
          accelerators: Type.Optional(
            Type.Array(AcceleratorKeySchema, {
              minItems: 1,
              maxItems: limits.attachCountMax,
              description: 'Several by name: those of one IOMMU group go together.',
            }),
          ),
          force: Type.Optional(
            Type.Boolean({
              default: false,
              description: "An admin's: give up on a host that will not answer.",
            }),
          ),
          ...dryRunQuery,
        },
        closed,
      ),
      headers: IfMatchHeaders,
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
  listUnclaimed: {
    ...v3Routes.listUnclaimed,
    action: 'unclaimed:update',
    schema: {
      summary: 'Devices of ours that agents found and the ledger does not know',
      description:
        'Each with the accelerator that it is, where its host or its address says so: that one is `cleaning` meanwhile, and given to nobody.',
      querystring: Type.Object(
        { host: Type.Optional(Type.String({ maxLength: 255 })), ...pageQuery },
        closed,
      ),
      response: { 200: PageOf(UnclaimedSchema), ...problems },
    },
  },
  releaseUnclaimed: {
    ...v3Routes.releaseUnclaimed,
    action: 'unclaimed:update',
    schema: {
      summary: 'Order the host to unplug it',
      description:
        'Its accelerator is cleaned then, before anybody is given it. What keeps the host from it is the `reason` of the device.',
      params: idParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      response: { 200: DryRunSchema, 202: UnclaimedSchema, ...problems },
    },
  },
  adoptUnclaimed: {
    ...v3Routes.adoptUnclaimed,
    action: 'unclaimed:update',
    schema: {
      summary: 'Enter it in the ledger as an attachment of its accelerator',
      description:
        '`accelerator` is needed only where nobody knows which one it is; another one is refused.',
      params: idParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object({ accelerator: Type.Optional(UuidSchema) }, closed),
      response: { 200: Type.Union([AttachmentSchema, DryRunSchema]), ...problems },
    },
  },
} as const;
