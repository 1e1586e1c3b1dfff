/** Accelerators of one IOMMU group leave an instance together. */
import type { Result } from '../api/call.ts';
import { useRead } from '../api/read.ts';

type Accelerator = Pick<
  Result<'showAccelerator'>,
  'id' | 'name' | 'host' | 'iommu_group' | 'presence'
>;

/** Of what one instance holds: the rest of the group of this one. */
export function matesOf<Held extends Accelerator>(held: readonly Held[], id: string): Held[] {
  const self = held.find((one) => one.id === id);
  if (self === undefined || self.iommu_group === null) return [];
  return held.filter(
    (one) =>
      one.id !== id &&
      one.host === self.host &&
      one.iommu_group === self.iommu_group &&
      one.presence !== 'absent',
  );
}

export interface Whole {
  readonly ids: readonly string[];
  /** Of those that go with it. */
  readonly mates: readonly string[];
}

/** What goes when this accelerator leaves the instance; undefined while that is being asked. */
export function useWhole(
  instanceId: string | null,
  acceleratorId: string | undefined,
): Whole | undefined {
  const isAsked = instanceId !== null && acceleratorId !== undefined;
  const { data, isPending } = useRead(
    'listAccelerators',
    { query: { ...(isAsked && { instance_id: instanceId }), limit: 1000 } },
    { enabled: isAsked },
  );
  if (!isAsked || isPending) return undefined;
  const mates = matesOf(data?.items ?? [], acceleratorId);
  return {
    ids: [acceleratorId, ...mates.map(({ id }) => id)],
    mates: mates.map(({ name }) => name),
  };
}

/** What a person is told before. */
export function togetherWith({ mates }: Whole): string | undefined {
  return mates.length === 0
    ? undefined
    : `It shares its IOMMU group with ${mates.join(' and ')}: they leave the instance together.`;
}
