/**
 * Which version of each driver runs here, on disk: an agent that died while it changed one starts the version that ran, and
 * the change begins anew.
 */
import { join } from 'node:path';
import { DesiredPackageSchema } from '@cyborg/api-spec/agent/desired';
import Type, { type Static } from 'typebox';
import { readChecked, writeDurably } from './durable-file.ts';

const version = {
  version: Type.String(),
  package: Type.Union([DesiredPackageSchema, Type.Null()]),
};
const RunningSchema = Type.Object({
  ...version,
  /** What ran before the update to it, to which it goes back when it keeps dying until then. */
  previous: Type.Optional(Type.Object({ ...version, until: Type.String() })),
  /** What it went back from: not tried again for the same wish. */
  left: Type.Optional(
    Type.Object({ ...version, generation: Type.Integer(), reason: Type.String() }),
  ),
});
const FileSchema = Type.Record(Type.String(), RunningSchema);

export type RunningVersion = Static<typeof RunningSchema>;
export type VersionOnDisk = Pick<RunningVersion, 'version' | 'package'>;

export class RunningDrivers {
  readonly #path: string;
  #known: Record<string, RunningVersion>;
  /** One write at a time. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, known: Record<string, RunningVersion>) {
    this.#path = path;
    this.#known = known;
  }

  static async open(stateDir: string): Promise<RunningDrivers> {
    const path = join(stateDir, 'running-drivers.json');
    return new RunningDrivers(path, (await readChecked(path, FileSchema)) ?? {});
  }

  find(driverId: string): RunningVersion | undefined {
    return this.#known[driverId];
  }

  async put(driverId: string, running: RunningVersion): Promise<void> {
    this.#known = { ...this.#known, [driverId]: running };
    await this.#write();
  }

  async remove(driverId: string): Promise<void> {
    const { [driverId]: gone, ...others } = this.#known;
    if (gone === undefined) return;
    this.#known = others;
    await this.#write();
  }

  async #write(): Promise<void> {
    const written = this.#writing.then(() => writeDurably(this.#path, this.#known));
    this.#writing = written.catch(() => undefined);
    await written;
  }
}
