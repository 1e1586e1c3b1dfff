/** The definitions of a backend: those of its configuration, and those that come with the driver. */
import { readdirSync, readFileSync } from 'node:fs';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { PciConfig } from '../pci/config.ts';
import type { Definition } from './schema.ts';

const folder = new URL('../../definitions/', import.meta.url);

export class Definitions {
  #shipped: Promise<readonly Definition[]> | undefined;
  readonly #checked = new Map<string, readonly Definition[]>();

  /**
   * Those of the configuration first. A definition replaces a shipped one with its id.
   * @throws DriverError `invalid`, naming file, line and rule.
   */
  async of(config: PciConfig): Promise<readonly Definition[]> {
    const own = await this.#ofTexts(config.definitions ?? []);
    const ids = new Set(own.map(({ id }) => id));
    const shipped = (await this.shipped()).filter(({ id }) => !ids.has(id));
    const all = [...own, ...shipped];
    checkRules(config, all);
    return all;
  }

  /** Read once, when the first backend asks. */
  async shipped(): Promise<readonly Definition[]> {
    this.#shipped ??= this.#readShipped();
    return await this.#shipped;
  }

  /** Not at the top of the module: a driver without a PCI backend does without YAML. */
  async #readShipped(): Promise<readonly Definition[]> {
    const { parseDefinition } = await import('./parse.ts');
    const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
    return names
      .toSorted()
      .map((name) => parseDefinition(name, readFileSync(new URL(name, folder), 'utf8')));
  }

  async #ofTexts(texts: NonNullable<PciConfig['definitions']>): Promise<readonly Definition[]> {
    if (texts.length === 0) return [];
    const key = JSON.stringify(texts);
    const known = this.#checked.get(key);
    if (known !== undefined) return known;
    const { parseDefinition } = await import('./parse.ts');
    const definitions = texts.map(({ file, text }) => parseDefinition(file, text));
    for (const [index, { id }] of definitions.entries()) {
      const first = definitions.findIndex((other) => other.id === id);
      if (first === index) continue;
      const [here, there] = [texts[index]?.file, texts[first]?.file];
      throw new DriverError('invalid', `${here}:1:1: id ${id} is taken by ${there}`);
    }
    if (this.#checked.size >= rememberedMax) this.#checked.clear();
    this.#checked.set(key, definitions);
    return definitions;
  }
}

/** Configurations whose definitions are not read again. */
const rememberedMax = 16;

function checkRules({ rules }: PciConfig, definitions: readonly Definition[]): void {
  for (const [index, { definition: id }] of rules.entries()) {
    if (id === undefined || definitions.some((item) => item.id === id)) continue;
    const known = definitions.map((item) => item.id).join(', ');
    const message = `config.rules[${index}].definition is "${id}"; the definitions are ${known}`;
    throw new DriverError('invalid', message);
  }
}
