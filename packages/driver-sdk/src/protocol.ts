/**
 * The driver protocol, version 1: what an agent and a driver say to each other.
 *
 * JSON-RPC 2.0 with LSP framing over the driver's stdin and stdout. Keys on the wire are snake_case. One driver process
 * serves all backends of one driver version on one host. Every request has a deadline, which the agent enforces.
 */
import Type, { type Static, type TObject } from 'typebox';
import { addressPattern, nodePattern, protocolLimits } from './protocol-constants.ts';
import {
  AttachPlanSchema,
  HealthSchema,
  InventorySchema,
  PlanKindSchema,
} from './protocol-inventory.ts';
import { closed, Key, Nullable, Text } from './protocol-words.ts';

export {
  driverErrorCodes,
  protocolLimits,
  protocolVersion,
  type DriverErrorCode,
} from './protocol-constants.ts';
export {
  AcceleratorTypeSchema,
  AttachPlanSchema,
  DriverAcceleratorSchema,
  DriverDeployableSchema,
  DriverDeviceSchema,
  DriverServiceSchema,
  HealthSchema,
  InventorySchema,
  PlanKindSchema,
  type AcceleratorType,
  type AttachPlan,
  type DriverAccelerator,
  type DriverDeployable,
  type DriverDevice,
  type DriverService,
  type Health,
  type Inventory,
  type PlanKind,
} from './protocol-inventory.ts';

/** Values as the operator wrote them; each kind has a schema of its own. */
export const BackendConfigSchema = Type.Record(Key, Type.Unknown());

export const BackendSpecSchema = Type.Object(
  { name: Key, kind: Key, config: BackendConfigSchema },
  closed,
);
export type BackendSpec = Static<typeof BackendSpecSchema>;

export const RootsSchema = Type.Object({ sysfs: Key, proc: Key, dev: Key }, closed);
export type Roots = Static<typeof RootsSchema>;

export const InitializeParamsSchema = Type.Object(
  {
    protocol_versions: Type.Array(Key),
    agent_version: Key,
    host: Type.Object({ name: Key, node_name: Key }, closed),
    /** Where the kernel's trees are; other than /sys, /proc, /dev for recorded trees. */
    roots: RootsSchema,
    /** True on hosts whose hardware is a recorded tree: privileged acts are simulated, holders are the tree's alone. */
    simulated: Type.Boolean(),
    /** A folder of the driver's own, kept across restarts; null where it may not write. */
    state_dir: Nullable(Key),
    backends: Type.Array(BackendSpecSchema),
  },
  closed,
);
export type InitializeParams = Static<typeof InitializeParamsSchema>;

/** One kind of backend: its configuration and which of its keys a manager may set. */
export const BackendKindSchema = Type.Object(
  {
    kind: Key,
    title: Text,
    /** JSON Schema of the configuration. */
    config_schema: Type.Record(Key, Type.Unknown()),
    /** Top-level keys that a project manager may set; the others are an admin's. */
    delegable: Type.Array(Key),
  },
  closed,
);
export type BackendKind = Static<typeof BackendKindSchema>;

/** Optional requests; a driver announces which it answers. */
export const CapabilitySchema = Type.Union([
  Type.Literal('update'),
  Type.Literal('stats'),
  Type.Literal('health'),
]);
export type Capability = Static<typeof CapabilitySchema>;

export const InitializeResultSchema = Type.Object(
  {
    protocol_version: Key,
    driver: Type.Object({ id: Key, version: Key }, closed),
    capabilities: Type.Array(CapabilitySchema),
    kinds: Type.Array(BackendKindSchema),
  },
  closed,
);
export type InitializeResult = Static<typeof InitializeResultSchema>;

const InstallParams = Type.Object({ backend: BackendSpecSchema, dry_run: Type.Boolean() }, closed);
const InstallResult = Type.Union([
  Type.Object({ status: Type.Literal('ready') }, closed),
  Type.Object({ status: Type.Literal('setup_required'), steps: Type.Array(Text) }, closed),
  Type.Object({ status: Type.Literal('reboot_required'), why: Text }, closed),
]);
const BackendName = Type.Object({ backend: Key }, closed);
const Target = Type.Object(
  {
    backend: Key,
    /** `key` of an accelerator of the backend's inventory. */
    accelerator: Key,
    /** Fencing epoch: higher than that of any earlier act on the accelerator. */
    epoch: Type.Integer(),
  },
  closed,
);
const PrepareParams = Type.Object(
  { ...Target.properties, attachment: Key, instance: Key, plugs: Type.Array(PlanKindSchema) },
  closed,
);
const Empty = Type.Object({}, closed);

/**
 * Requests from the agent to the driver. All are idempotent: the agent repeats them after any crash.
 * `install` also gives a backend a new configuration; `discover` answers the whole inventory of one backend.
 */
export const driverRequests = {
  initialize: { params: InitializeParamsSchema, result: InitializeResultSchema },
  install: { params: InstallParams, result: InstallResult },
  uninstall: {
    params: Type.Object({ ...BackendName.properties, dry_run: Type.Boolean() }, closed),
    result: InstallResult,
  },
  discover: { params: BackendName, result: InventorySchema },
  prepare: { params: PrepareParams, result: Type.Object({ plan: AttachPlanSchema }, closed) },
  release: {
    params: Type.Object({ ...Target.properties, attachment: Key }, closed),
    result: Empty,
  },
  /** Only called when the agent has seen that no domain and no process holds the accelerator. */
  clean: {
    params: Type.Object(
      {
        ...Target.properties,
        /**
         * Why an operator accepts that this accelerator is given out without a reset where it has none; part of the
         * evidence. Sent only where there is one.
         */
        resetless_reason: Type.Optional(Text),
        /**
         * The agent knows for certain that nothing was handed to a guest since it was clean, as when an attach failed
         * before: what `prepare` did is undone, and nothing has to be wiped. Sent only where it is so.
         */
        never_given: Type.Optional(Type.Boolean()),
      },
      closed,
    ),
    result: Type.Object({ evidence: Type.Array(Text) }, closed),
  },
  /**
   * Writes firmware or a program image into the card that the accelerator is a part of. Only called when none of its
   * accelerators is held. `image` is a file that the driver may read, and its bytes are those of `sha256`.
   */
  update: {
    params: Type.Object(
      {
        ...Target.properties,
        image: Type.String({ minLength: 1, maxLength: 4096 }),
        sha256: Key,
      },
      closed,
    ),
    result: Empty,
  },
  stats: { params: BackendName, result: Type.Record(Key, Type.Unknown()) },
  health: { params: BackendName, result: Type.Record(Key, HealthSchema) },
  shutdown: { params: Empty, result: Empty },
} as const satisfies Record<string, { params: TObject; result: Type.TSchema }>;

export type DriverMethod = keyof typeof driverRequests;
export type DriverParams<M extends DriverMethod> = Static<(typeof driverRequests)[M]['params']>;
export type DriverResult<M extends DriverMethod> = Static<(typeof driverRequests)[M]['result']>;

const Address = Type.Object({ backend: Key, address: Key }, closed);

/**
 * What may be held open: a device node by its path below /dev, or by its number (`c226:128` a character device,
 * `b259:0` a block device), or the memory of a PCI function, through sysfs, by its address (`0000:21:00.0`).
 */
const Node = Type.String({ maxLength: 255, pattern: nodePattern });
const PciAddress = Type.String({ maxLength: 255, pattern: addressPattern });
const SerialNumbers = Type.Object(
  {
    address: PciAddress,
    /** Device Serial Number of its configuration space, `00-11-22-33-44-55-66-77`; null: it has none. */
    dsn: Nullable(Key),
    /** Vital Product Data: its name as `id`, and keywords (`SN` serial number, `PN` part number, …). */
    vpd: Type.Record(Type.String({ pattern: '^(id|[A-Z0-9]{2})$' }), Key),
  },
  closed,
);
const OpenNode = Type.Object(
  {
    /** As it was asked for. */
    node: Node,
    pid: Type.Integer({ minimum: 1 }),
    /** The process's name, at most 15 characters; of several that hold a node, one is named. */
    command: Text,
  },
  closed,
);

/**
 * What a driver may ask of its agent: privileged acts, each checked by the agent before it is done, and a look at what
 * only root can see.
 */
export const agentRequests = {
  /**
   * Gives the function to `kernel_driver` by its driver_override, and with it all others of its IOMMU group, bridges
   * aside. What was there is kept on disk for `restore`. Refused when the host uses one of them, when one is not in the
   * backend's inventory, and when one has a kernel driver and is not named in `unbind`.
   */
  bind: {
    params: Type.Object(
      {
        ...Address.properties,
        kernel_driver: Key,
        /** Addresses whose kernel driver may be taken away while it is idle. */
        unbind: Type.Optional(Type.Array(Key, { maxItems: protocolLimits.groupMembersMax })),
      },
      closed,
    ),
    result: Empty,
  },
  /** Takes its kernel driver away while it is idle; `restore` gives it back. */
  unbind: { params: Address, result: Empty },
  /**
   * Puts back what was there before `bind` or `unbind`, for the function and for those of its IOMMU group that were bound
   * for it alone. Refused while a process has one of them open. Nothing to do is no error.
   */
  restore: {
    params: Address,
    result: Type.Object(
      {
        /** Functions of its group for which it stays bound; absent: for none, it was put back. */
        kept_for: Type.Optional(Type.Array(Key, { maxItems: protocolLimits.groupMembersMax })),
      },
      closed,
    ),
  },
  /**
   * Resets the function. Scope `function` (the default) touches nothing else: a method that resets the bus is used where
   * nothing else is behind it. Scope `bus` resets all that is behind its bridge, and is refused unless each of that is
   * free, or bound by the agent for functions of this one's IOMMU group, and held open by nobody.
   */
  reset: {
    params: Type.Object(
      {
        ...Address.properties,
        scope: Type.Optional(Type.Union([Type.Literal('function'), Type.Literal('bus')])),
        /** The kernel's names of the methods that may be used, the best first; absent: all that it has. */
        methods: Type.Optional(Type.Array(Key, { minItems: 1, maxItems: 16 })),
      },
      closed,
    ),
    result: Type.Object(
      {
        /** The kernel's name of the method that was used; absent where it does not say. */
        method: Type.Optional(Text),
      },
      closed,
    ),
  },
  /** Functions that this agent bound, for whichever backend, and has not restored since. */
  listBound: {
    params: BackendName,
    result: Type.Object(
      {
        functions: Type.Array(
          Type.Object(
            {
              address: Key,
              /** What was there before; null: no kernel driver. */
              kernel_driver: Nullable(Key),
              /**
               * Key of this backend's accelerator there, where a number is in it that only the kernel driver before could
               * read (a drive's); or where nobody knows what was there, since the agent lost its notes: as the ledger has it.
               */
              accelerator: Type.Optional(Key),
            },
            closed,
          ),
          { maxItems: protocolLimits.openNodesMax },
        ),
      },
      closed,
    ),
  },
  /** How many virtual functions a physical one has. Refused while one of them is in use, or it is given whole. */
  setVfCount: {
    params: Type.Object({ ...Address.properties, count: Type.Integer() }, closed),
    result: Empty,
  },
  /** Makes a mediated device; one that is there already, of this type, is no error. */
  makeMdev: {
    params: Type.Object({ ...Address.properties, type: Key, uuid: Key }, closed),
    result: Empty,
  },
  removeMdev: { params: Type.Object({ ...Address.properties, uuid: Key }, closed), result: Empty },
  loadModule: { params: Type.Object({ backend: Key, module: Key }, closed), result: Empty },
  /**
   * Which of the nodes processes of this host have open. `complete` is false when the agent could not look at every
   * process (it is not root, or too slow): then a node that is not in `open` may be open all the same. Ask once for all
   * nodes of a discovery. An agent that does not know the request answers JSON-RPC's "method not found".
   */
  openNodes: {
    params: Type.Object(
      { backend: Key, nodes: Type.Array(Node, { maxItems: protocolLimits.openNodesMax }) },
      closed,
    ),
    result: Type.Object(
      {
        complete: Type.Boolean(),
        open: Type.Array(OpenNode, { maxItems: protocolLimits.openNodesMax }),
      },
      closed,
    ),
  },
  /**
   * By what numbers functions are known wherever they are put, which Linux shows to root alone. A function that is not in
   * `functions` is not there, or is asked about too late: ask again. An agent that does not know the request answers
   * JSON-RPC's "method not found".
   */
  serialNumbers: {
    params: Type.Object(
      {
        backend: Key,
        addresses: Type.Array(PciAddress, { maxItems: protocolLimits.serialNumbersMax }),
      },
      closed,
    ),
    result: Type.Object(
      { functions: Type.Array(SerialNumbers, { maxItems: protocolLimits.serialNumbersMax }) },
      closed,
    ),
  },
} as const satisfies Record<string, { params: TObject; result: TObject }>;
export type AgentMethod = keyof typeof agentRequests;
export type AgentParams<M extends AgentMethod> = Static<(typeof agentRequests)[M]['params']>;
export type AgentResult<M extends AgentMethod> = Static<(typeof agentRequests)[M]['result']>;

/** Notifications from the driver. */
export const driverNotifications = {
  inventoryChanged: BackendName,
  healthChanged: BackendName,
  /** How far an `update` is. */
  updateProgress: Type.Object(
    { backend: Key, accelerator: Key, percent: Type.Integer({ minimum: 0, maximum: 100 }) },
    closed,
  ),
  log: Type.Object(
    {
      level: Type.Union([
        Type.Literal('debug'),
        Type.Literal('info'),
        Type.Literal('warn'),
        Type.Literal('error'),
      ]),
      message: Type.String({ maxLength: 4096 }),
    },
    closed,
  ),
} as const satisfies Record<string, TObject>;
export type DriverNotification = keyof typeof driverNotifications;
