/**
 * Whether an accelerator fits a wish: one table of conditions, each as SQL for picking and as a function for saying why
 * not. A property test compares the two.
 */
import { sql, type RawBuilder, type SqlBool } from 'kysely';
import { hasRestOfGroup, mayHaveGroup, type GroupMate } from '@cyborg/store/iommu-groups';
import type { NeighbourRow } from '@cyborg/store/neighbours';
import { noRelativeHeld, type Relative } from '@cyborg/store/relatives';
import { noServiceDisabled } from '@cyborg/store/services';

/** What the instance's host allows, and whose request it is. */
export interface FitContext {
  readonly projectId: string;
  readonly instanceId: string;
  readonly hostId: string;
  readonly host: string;
  readonly hypervisor: string;
  /** Kinds of attach plan that the instance's hypervisor can plug now. */
  readonly plugs: readonly string[];
  /** True when the caller may be told whose instance holds an accelerator. */
  readonly mayName: (projectId: string | null) => boolean;
}

/** What is wished of each of `count` accelerators. Absent = anything. */
export interface Wish {
  readonly count: number;
  readonly acceleratorId?: string;
  readonly driverId?: string;
  readonly type?: string;
  readonly resourceClass?: string;
  readonly traits?: { readonly required: readonly string[]; readonly forbidden: readonly string[] };
  /** The one that it must be on. */
  readonly numaNode?: number;
  /** Its PCIe root must be known, to be compared. */
  readonly needsRoot?: boolean;
  /** Index of the profile's group. */
  readonly profileGroup?: number;
}

interface Condition {
  readonly sql: (wish: Wish, context: FitContext) => RawBuilder<SqlBool> | undefined;
  readonly whyNot: (row: NeighbourRow, wish: Wish, context: FitContext) => string | undefined;
}

/** Types that a resource class of v2's grammar stands for, when a deployable names none of its own. */
const typeOfClass: Readonly<Record<string, string>> = {
  FPGA: 'FPGA',
  GPU: 'GPU',
  PGPU: 'GPU',
  CUSTOM_QAT: 'CRYPTO',
  CUSTOM_NIC: 'NIC',
  CUSTOM_SSD: 'SSD',
};
const namedClasses = [...Object.keys(typeOfClass), 'VGPU'];
export const unusableBackends = ['stale', 'failed', 'blocked', 'draining', 'removing'];

const conditions = {
  host: {
    sql: (_wish, { hostId }) => sql`a.host_id = ${hostId}`,
    whyNot: (row, _wish, { host, hostId }) =>
      row.host_id === hostId ? undefined : `on host ${row.host}, the instance is on ${host}`,
  },
  state: {
    sql: () => sql`a.state = 'available'`,
    whyNot: (row, _wish, context) => whyNotFree(row, context),
  },
  reservedFor: {
    sql: (_wish, { projectId }) => sql`(a.reserved_for is null or a.reserved_for = ${projectId})`,
    whyNot: (row, _wish, context) => whyNotReserved(row, context),
  },
  presence: {
    sql: () => sql`a.presence = 'present'`,
    whyNot: (row) => (row.presence === 'present' ? undefined : 'absent'),
  },
  backend: {
    sql: () => sql`(b.status = 'enabled' and b.state <> all(${unusableBackends}))`,
    whyNot: (row) => {
      if (row.backend_status === 'disabled') return `backend ${row.backend} is disabled`;
      const isUsable = !unusableBackends.includes(row.backend_state);
      return isUsable ? undefined : `backend ${row.backend} is ${row.backend_state}`;
    },
  },
  service: {
    sql: () => noServiceDisabled,
    whyNot: ({ disabled_service: name }) =>
      name === null ? undefined : `service ${name} is disabled`,
  },
  relatives: {
    sql: () => noRelativeHeld,
    whyNot: ({ held_relative: other }) => {
      if (other === null) return undefined;
      return `${relativeInWords(other)}, is ${other.state.replace('_', ' ')}`;
    },
  },
  group: {
    sql: (_wish, context) => mayHaveGroup(context),
    whyNot: (row, _wish, context) => whyNotGroup(row, context),
  },
  plugs: {
    sql: (_wish, { plugs }) => sql`a.plans ?| ${plugs}::text[]`,
    whyNot: (row, _wish, { hypervisor, plugs }) =>
      row.plans.some((plan) => plugs.includes(plan))
        ? undefined
        : `hypervisor ${hypervisor} cannot plug ${row.plans.join(' or ') || 'it'}`,
  },
  accelerator: {
    sql: ({ acceleratorId }) =>
      acceleratorId === undefined ? undefined : sql`a.id = ${acceleratorId}::uuid`,
    whyNot: (row, { acceleratorId }) =>
      acceleratorId === undefined || row.id === acceleratorId ? undefined : 'not the one asked for',
  },
  driver: {
    sql: ({ driverId }) => (driverId === undefined ? undefined : sql`a.driver_id = ${driverId}`),
    whyNot: (row, { driverId }) =>
      driverId === undefined || row.driver_id === driverId
        ? undefined
        : `driver is ${row.driver_id}, not ${driverId}`,
  },
  type: {
    sql: ({ type }) => (type === undefined ? undefined : sql`a.type = ${type}`),
    whyNot: (row, { type }) =>
      type === undefined || row.type === type ? undefined : `type is ${row.type}, not ${type}`,
  },
  resourceClass: {
    sql: ({ resourceClass: wanted }) => {
      if (wanted === undefined) return undefined;
      const type = typeOfClass[wanted];
      if (type === undefined) return sql`a.resource_class = ${wanted}`;
      return sql`(a.resource_class = ${wanted}
        or (a.resource_class <> all(${namedClasses}) and a.type = ${type}))`;
    },
    whyNot: (row, { resourceClass: wanted }) => {
      if (wanted === undefined || row.resource_class === wanted) return undefined;
      const isOfType =
        !namedClasses.includes(row.resource_class) && typeOfClass[wanted] === row.type;
      return isOfType ? undefined : `type is ${row.type} (${row.resource_class}), not ${wanted}`;
    },
  },
  requiredTraits: {
    sql: ({ traits }) =>
      traits === undefined || traits.required.length === 0
        ? undefined
        : sql`a.traits ?& ${traits.required}::text[]`,
    whyNot: (row, { traits }) => {
      const missing = (traits?.required ?? []).filter((trait) => !row.traits.includes(trait));
      return missing.length === 0 ? undefined : `lacks trait ${missing.join(', ')}`;
    },
  },
  forbiddenTraits: {
    sql: ({ traits }) =>
      traits === undefined || traits.forbidden.length === 0
        ? undefined
        : sql`not (a.traits ?| ${traits.forbidden}::text[])`,
    whyNot: (row, { traits }) => {
      const unwanted = (traits?.forbidden ?? []).filter((trait) => row.traits.includes(trait));
      return unwanted.length === 0 ? undefined : `has forbidden trait ${unwanted.join(', ')}`;
    },
  },
  numaNode: {
    sql: ({ numaNode }) => (numaNode === undefined ? undefined : sql`a.numa_node = ${numaNode}`),
    whyNot: ({ numa_node: node }, { numaNode }) => {
      if (numaNode === undefined || node === numaNode) return undefined;
      return node === null ? 'its NUMA node is not known' : `on NUMA node ${node}, not ${numaNode}`;
    },
  },
  pcieRoot: {
    sql: ({ needsRoot }) => (needsRoot === true ? sql`a.pcie_root is not null` : undefined),
    whyNot: (row, { needsRoot }) =>
      needsRoot === true && row.pcie_root === null ? 'its PCIe root is not known' : undefined,
  },
} as const satisfies Record<string, Condition>;

/** For a query on `accelerator a join backend b`. */
export function fits(wish: Wish, context: FitContext): RawBuilder<SqlBool> {
  return allOf(Object.values<Condition>(conditions), { wish, context });
}

/** The same, and it needs nothing to come along with it. */
export function fitsAlone(wish: Wish, context: FitContext): RawBuilder<SqlBool> {
  const { group: _group, ...others } = conditions;
  const isWhole: Condition = {
    sql: (_wish, { instanceId }) => hasRestOfGroup(instanceId),
    whyNot: () => undefined,
  };
  return allOf([...Object.values<Condition>(others), isWhole], { wish, context });
}

function allOf(
  parts: readonly Condition[],
  { wish, context }: { readonly wish: Wish; readonly context: FitContext },
): RawBuilder<SqlBool> {
  const texts = parts.flatMap((condition) => condition.sql(wish, context) ?? []);
  return sql<SqlBool>`(${sql.join(texts, sql` and `)})`;
}

/** Everything that keeps it from fitting, in the words of an operator; empty when it fits. */
export function whyNot(row: NeighbourRow, wish: Wish, context: FitContext): string[] {
  return Object.values<Condition>(conditions).flatMap(
    (condition) => condition.whyNot(row, wish, context) ?? [],
  );
}

/** Whether it is another kind of thing than is wished, and not only one that cannot be had now. */
export function isOtherKind(row: NeighbourRow, wish: Wish, context: FitContext): boolean {
  const { accelerator, driver, type, resourceClass } = conditions;
  const kinds: readonly Condition[] = [accelerator, driver, type, resourceClass];
  return kinds.some((condition) => condition.whyNot(row, wish, context) !== undefined);
}

/** Whether it is of the class that is wished, if any is. */
export function isOfClass(row: NeighbourRow, wish: Wish): boolean {
  return conditions.resourceClass.whyNot(row, wish) === undefined;
}

/** The others of its group that the instance does not have. */
export function matesToTake(row: NeighbourRow, { instanceId }: FitContext): readonly GroupMate[] {
  return row.group_mates.filter((mate) => mate.instance_id !== instanceId);
}

/** `nic-0, a part of it`. */
export function relativeInWords({ name, is_whole }: Pick<Relative, 'name' | 'is_whole'>): string {
  return `${name}, ${is_whole ? 'the function that it is a part of' : 'a part of it'}`;
}

/** As far as the ledger knows, the hardware cannot keep them apart. */
function whyNotGroup(row: NeighbourRow, context: FitContext): string | undefined {
  const taken = matesToTake(row, context).flatMap((mate) => {
    const why = whyNotFree(mate, context) ?? whyNotReserved(mate, context);
    return why === undefined ? [] : `${mate.name}, which is ${why}`;
  });
  const [first] = taken;
  return first === undefined ? undefined : `shares IOMMU group ${row.iommu_group} with ${first}`;
}

function whyNotReserved(
  { reserved_for: project }: Pick<NeighbourRow, 'reserved_for'>,
  { projectId }: FitContext,
): string | undefined {
  return project === null || project === projectId ? undefined : 'reserved for another project';
}

type HeldRow = Pick<NeighbourRow, 'state' | 'reason' | 'instance_id' | 'project_id'>;

function whyNotFree(row: HeldRow, { mayName }: FitContext): string | undefined {
  switch (row.state) {
    case 'available':
      return undefined;
    case 'withheld':
    case 'cleaning_failed':
      return `${row.state.replace('_', ' ')}: ${row.reason ?? 'no reason given'}`;
    case 'reserved':
    case 'attached':
    case 'orphaned':
      return mayName(row.project_id)
        ? `held by instance ${row.instance_id ?? 'unknown'}`
        : 'held by another project';
    case 'cleaning':
      return 'being cleaned';
    case 'updating':
      return 'being updated';
  }
}
