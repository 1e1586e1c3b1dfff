/** Accelerators of one IOMMU group leave an instance together. */
import { useRead } from '../api/read.ts';
import { matesOf } from './group-mates.ts';

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
