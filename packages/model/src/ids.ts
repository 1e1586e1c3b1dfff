/** One registry of kinds, so that ids cannot be mixed up. */
declare const kind: unique symbol;

/** A UUID known to identify one kind of thing. */
export type Id<Kind extends string> = string & { readonly [kind]: Kind };

export type HostId = Id<'host'>;
export type BackendId = Id<'backend'>;
export type InstallationId = Id<'installation'>;
export type DeviceId = Id<'device'>;
export type DeployableId = Id<'deployable'>;
export type AcceleratorId = Id<'accelerator'>;
export type AttachmentId = Id<'attachment'>;
export type InstanceId = Id<'instance'>;
export type OperationId = Id<'operation'>;
export type LedgerId = Id<'ledger'>;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True for a lower-case hyphenated UUID of any version. */
export function isUuid(text: string): boolean {
  return uuidPattern.test(text);
}

/** Brands a string that a schema or the database has already checked. */
export function toId<Kind extends string>(text: string): Id<Kind> {
  return text as Id<Kind>;
}
