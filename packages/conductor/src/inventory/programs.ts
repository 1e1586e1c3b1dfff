/** What a card is by its program image is the ledger's to know: its driver reports the card. */
import { withFunctionTrait } from '@cyborg/model/v2/function-trait';

import type { ReportedInventory } from './parse.ts';
import type { Known } from './rows.ts';

export function withPrograms(
  inventory: ReportedInventory,
  known: Pick<Known, 'devices' | 'deployables'>,
  driverId: string,
): ReportedInventory {
  const programmed = known.deployables.filter(({ function_id: id }) => id !== null);
  if (programmed.length === 0) return inventory;
  const keys = new Map(known.devices.map(({ id, key }) => [id, key]));
  const functions = new Map(
    programmed.map((row) => [`${keys.get(row.device_id)} ${row.key}`, row.function_id]),
  );
  const devices = inventory.devices.map((device) => ({
    ...device,
    deployables: device.deployables.map((part) => {
      const functionId = functions.get(`${device.key} ${part.key}`) ?? null;
      if (functionId === null) return part;
      return { ...part, traits: withFunctionTrait(part.traits, { driverId, functionId }) };
    }),
  }));
  return { ...inventory, devices };
}
