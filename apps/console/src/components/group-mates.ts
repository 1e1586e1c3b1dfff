/** What shares an IOMMU group, of what one instance holds. */
import type { Result } from '../api/call.ts';

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
