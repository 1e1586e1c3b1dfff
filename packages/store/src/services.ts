/** Which accelerators a disabled service withholds. */
import { typesByFunction } from '@cyborg/model/functions';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

/** A function is made of the types that it is named for; another one, and a daemon, of all that its backend has. */
const isOf = sql.raw(`(s.kind = 'daemon' or coalesce(
  jsonb_exists('${JSON.stringify(typesByFunction)}'::jsonb -> split_part(s.name, '.', 1), a.type), true))`);

/** For a query on `accelerator a`. */
export const noServiceDisabled: RawBuilder<SqlBool> = sql`not exists (
  select from service s where s.backend_id = a.backend_id and s.status = 'disabled' and ${isOf})`;

/** For a query on `accelerator a`: the name of one, or null. */
export const disabledService: RawBuilder<string | null> = sql`(
  select s.name from service s where s.backend_id = a.backend_id and s.status = 'disabled' and ${isOf}
  order by s.name limit 1)`;
