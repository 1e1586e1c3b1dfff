/** What a definition must keep beyond its schema. */
import { factsOfType } from '../functions.ts';
import type { Definition } from './schema.ts';
import { namesIn, traitNames } from './template.ts';

export interface BrokenRule {
  readonly path: readonly (string | number)[];
  readonly text: string;
}

type Rule = (definition: Definition) => BrokenRule | undefined;

const parts = ['whole', 'vfs', 'mdev'] as const;

/** The first rule that is broken. */
export function findBrokenRule(definition: Definition): BrokenRule | undefined {
  for (const rule of rules) {
    const broken = rule(definition);
    if (broken !== undefined) return broken;
  }
  return undefined;
}

const rules: readonly Rule[] = [
  matchesSomething,
  hasServicesOfItsType,
  namesItsReads,
  hasNamesOfOneFunctionEach,
  usesTraitsThatCanBeKnown,
];

function matchesSomething({ match, use }: Definition): BrokenRule | undefined {
  for (const [index, entry] of match.entries()) {
    const names = Object.entries(entry).filter(([, value]) => value !== '*');
    if (names.length > 0) continue;
    const path = ['match', index];
    if (entry.vendor === undefined) {
      return { path, text: `match[${index}] names nothing: name a vendor, a device or a class` };
    }
    if (use !== 'rule') {
      const text = `match[${index}] is every function of the host: name more, or say \`use: rule\``;
      return { path, text };
    }
  }
  return undefined;
}

/** The control plane finds the accelerators of a service by the family that its name begins with. */
function hasServicesOfItsType({ type, services }: Definition): BrokenRule | undefined {
  if (services === undefined) return undefined;
  if (type === undefined) {
    return { path: ['services'], text: 'services needs type: they are of the family of a type' };
  }
  const [family = ''] = factsOfType[type].service.split('.');
  const index = services.findIndex((name) => !name.startsWith(`${family}.`));
  if (index === -1) return undefined;
  const text = `services[${index}] is "${services[index]}"; a service of type ${type} begins with ${family}.`;
  return { path: ['services', index], text };
}

function namesItsReads({ read = {} }: Definition): BrokenRule | undefined {
  const wrong = Object.keys(read).find(
    (name) => !/^[A-Z][A-Z0-9_]{0,31}$/u.test(name) || traitNames.some((own) => own === name),
  );
  if (wrong === undefined) return undefined;
  const text = `read.${wrong} must be capital letters, digits and _, and none of ${traitNames.join(', ')}`;
  return { path: ['read', wrong], text };
}

/** A name is one provider's in Placement: two deployables of a card must not share it. */
function hasNamesOfOneFunctionEach(definition: Definition): BrokenRule | undefined {
  for (const part of parts) {
    const name = definition[part]?.name;
    if (name === undefined) continue;
    const path = [part, 'name'];
    const unknown = namesIn(name).find((item) => item !== 'host' && item !== 'address');
    if (unknown !== undefined) {
      return { path, text: `${part}.name has {${unknown}}; the names are {host} and {address}` };
    }
    if (!name.includes('{address}')) {
      return {
        path,
        text: `${part}.name lacks {address}, without which it is not unique on a host`,
      };
    }
  }
  const { whole, vfs } = definition;
  const nameOfWhole = whole?.name ?? '{host}_{address}';
  if (vfs?.name !== nameOfWhole || vfs.deployable === 'each') return undefined;
  const text = 'vfs.name is that of the whole function; virtual functions together need another';
  return { path: ['vfs', 'name'], text };
}

function usesTraitsThatCanBeKnown(definition: Definition): BrokenRule | undefined {
  const known = [...traitNames, ...Object.keys(definition.read ?? {})];
  for (const part of parts) {
    for (const [index, trait] of (definition[part]?.traits ?? []).entries()) {
      const names = namesIn(trait);
      const unknown = names.find((name) => !known.includes(name));
      const path = [part, 'traits', index];
      if (unknown !== undefined) {
        const text = `${part}.traits[${index}] has {${unknown}}; the names are ${known.join(', ')}`;
        return { path, text };
      }
      if (/[{}]/u.test(trait.replaceAll(/\{[A-Z0-9_]+\}/gu, ''))) {
        return { path, text: `${part}.traits[${index}] has a brace without its other half` };
      }
    }
  }
  return undefined;
}
