/** What is asked for by driver is given of one type: nobody who asks for two wants a crypto and an entropy device. */
import { ServiceError } from '@cyborg/model/errors';
import { countHeldByType } from '@cyborg/store/attach-context';
import { listFreeTypes, type FreeType } from '@cyborg/store/candidates';

import type { Db } from '../deps.ts';
import type { AttachContext } from './attach-context.ts';
import { fits, type Wish } from './fitting.ts';
import type { Wishes } from './wishes.ts';

/**
 * The request once for each type that could serve it, the type of the lowest free id first. One accelerator of a project
 * without quotas is of whatever type comes first.
 *
 * @throws ServiceError `no-accelerator-left` when only several types together would be enough.
 */
export async function byType(
  db: Db,
  wishes: Wishes,
  context: AttachContext,
): Promise<readonly Wishes[]> {
  const [wish, another] = wishes.wishes;
  const isByDriver = wish?.driverId !== undefined && wish.type === undefined;
  if (wish === undefined || another !== undefined || !isByDriver) return [wishes];
  if (wish.count === 1 && context.instance.quotas.length === 0) return [wishes];
  const free = await listFreeTypes(db, fits(wish, context));
  const enough = free.filter((row) => row.free >= wish.count);
  if (enough.length === 0 && sumOf(free) >= wish.count) throw onlyMixed(wish, free);
  const held = await countHeldByType(db, context.projectId);
  const room = ({ type }: FreeType): number => {
    const quota = context.instance.quotas.find((one) => one.type === type);
    return quota === undefined ? Infinity : quota.max - (held.get(type) ?? 0);
  };
  const allowed = enough.filter((row) => room(row) >= wish.count);
  // With none allowed, the refusal names the quota.
  const chosen = allowed.length > 0 ? allowed : enough.slice(0, 1);
  return chosen.length === 0 ? [wishes] : chosen.map(({ type }) => ofType(wishes, wish, type));
}

function ofType(wishes: Wishes, wish: Wish, type: string): Wishes {
  return {
    ...wishes,
    wishes: [{ ...wish, type }],
    asked: `${wishes.asked}, type ${type}`,
  };
}

function sumOf(types: readonly FreeType[]): number {
  return types.reduce((sum, { free }) => sum + free, 0);
}

function onlyMixed({ count, driverId = '' }: Wish, free: readonly FreeType[]): ServiceError {
  const kinds = free.map((row) => `${row.free} ${row.type}`).join(', ');
  return new ServiceError(
    'no-accelerator-left',
    `count: ${count} of one type are needed, and of driver ${driverId} only ${kinds} are free: ask for fewer, or for each type by itself.`,
    {
      extra: {
        choices: free.map(({ type, free: left }) => ({ driver_id: driverId, type, free: left })),
      },
    },
  );
}
