/** jsonb columns are written as text: `pg` would turn an array into a PostgreSQL array. */
export function toJson(value: unknown): string {
  return JSON.stringify(value);
}
