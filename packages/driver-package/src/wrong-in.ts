/** What is wrong in a file of a package, in the words that drivers use for configurations. */
import { findProblem } from '@cyborg/driver-sdk/json-schema';
import type { TSchema } from 'typebox';

/** `manifest.json: runtime is "ruby"; it must be one of "node", "python3", "program".` */
export function wrongIn(file: string, schema: TSchema, content: unknown): string {
  const problem = findProblem(schema, content, file) ?? `${file} does not fit its schema`;
  return `${problem.replace(`${file}.`, `${file}: `)}.`;
}
