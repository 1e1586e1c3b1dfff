import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import Type from 'typebox';
import { Value } from 'typebox/value';
import { hasCode, messageOf } from '../node-error.ts';

const fileBytesMax = 4096;
const ProjectFileSchema = Type.Object({
  project_id: Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Null()]),
});

export interface ProjectClaim {
  readonly projectId: string | null;
  /** Why the file counts as none, or null. */
  readonly warning: string | null;
}

/** Reads `{"project_id": "…"}` from `<socket>.json`. No file: nobody's; a bad one: nobody's, and a warning. */
export async function readProjectFile(socket: string): Promise<ProjectClaim> {
  const file = `${socket}.json`;
  try {
    return { projectId: await parse(file), warning: null };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return { projectId: null, warning: null };
    const warning = `${file} is ignored, so only admins see its instance: ${messageOf(error)}`;
    return { projectId: null, warning };
  }
}

async function parse(file: string): Promise<string | null> {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { size } = await handle.stat().then(mustBeFile);
    if (size > fileBytesMax) throw new Error(`it is larger than ${fileBytesMax} bytes.`);
    const buffer = Buffer.alloc(fileBytesMax);
    const { bytesRead } = await handle.read(buffer, 0, fileBytesMax, 0);
    const json: unknown = JSON.parse(buffer.toString('utf8', 0, bytesRead));
    if (Value.Check(ProjectFileSchema, json)) return json.project_id;
    throw new Error('it must be {"project_id": "<id>"}.');
  } finally {
    await handle.close();
  }
}

function mustBeFile<T extends { isFile(): boolean }>(found: T): T {
  if (!found.isFile()) throw new Error('it is not a regular file.');
  return found;
}
