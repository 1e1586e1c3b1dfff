import { ServiceError } from '@cyborg/model/errors';

export function unclaimedNotFound(id: string): ServiceError {
  return new ServiceError(
    'unclaimed-not-found',
    `There is no unclaimed device ${id}: its host may have seen it go, or somebody has adopted it.`,
    { extra: { nearest: [] } },
  );
}
