/** Kernel modules that this agent loaded, and for whom: nothing else is ever taken out again. */
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { readChecked, writeDurably } from './durable-file.ts';

const FileSchema = Type.Object({
  /** Of the boot in which they were loaded: a restart of the machine has taken them out. */
  boot_id: Type.Union([Type.String(), Type.Null()]),
  modules: Type.Record(Type.String(), Type.Array(Type.String())),
});

export class LoadedModules {
  readonly #path: string;
  #known: Static<typeof FileSchema> = { boot_id: null, modules: {} };
  #opened: Promise<void> | undefined;

  constructor(stateDir: string) {
    this.#path = join(stateDir, 'loaded-modules.json');
  }

  /** What was noted in an earlier boot is forgotten. */
  async open(bootId: string | null): Promise<void> {
    await (this.#opened ??= this.#read());
    if (this.#known.boot_id !== bootId) this.#known = { boot_id: bootId, modules: {} };
  }

  has(module: string): boolean {
    return Object.hasOwn(this.#known.modules, module);
  }

  /** Modules that none of those for whom they were loaded needs any more. */
  unneeded(): string[] {
    return Object.keys(this.#known.modules).filter((name) => this.usersOf(name).length === 0);
  }

  usersOf(module: string): readonly string[] {
    return this.#known.modules[module] ?? [];
  }

  /** On disk when this returns. */
  async note(module: string, user: string): Promise<void> {
    const users = this.usersOf(module);
    if (users.includes(user)) return;
    await this.#write({ ...this.#known.modules, [module]: [...users, user] });
  }

  async forgetUser(user: string): Promise<void> {
    const left = Object.entries(this.#known.modules).map(
      ([module, users]) => [module, users.filter((one) => one !== user)] as const,
    );
    await this.#write(Object.fromEntries(left));
  }

  async forget(module: string): Promise<void> {
    const { [module]: _gone, ...others } = this.#known.modules;
    await this.#write(others);
  }

  async #read(): Promise<void> {
    this.#known = (await readChecked(this.#path, FileSchema)) ?? this.#known;
  }

  async #write(modules: Record<string, string[]>): Promise<void> {
    this.#known = { ...this.#known, modules };
    await writeDurably(this.#path, this.#known);
  }
}
