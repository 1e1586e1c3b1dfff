/** The API's words for fields, as the flags and arguments of the command that was typed. */
import type { Command } from './command.ts';

export type Words = Pick<Command, 'args' | 'flags'>;

/** Fields whose flag is called otherwise. */
const otherNames: Readonly<Record<string, string>> = {
  labels: 'label',
  limits: 'limit',
  groups: 'group',
  backends: 'backend',
  hosts: 'host',
};

/** `query.type: …` → `--type: …`; `` `function` says which`` → `--function says which`. */
export function inCommandWords(detail: string, words: Words | undefined): string {
  return detail
    .replace(/^(?:query|body|params|header)\.([a-z_]+)(?=[.:[])/, (_all, field: string) =>
      wordFor(field, words),
    )
    .replace(/^([a-z_]+)(?=: )/, (_all, field: string) => flagFor(field, words) ?? field)
    .replaceAll(/`([a-z_]+)`/g, (all, field: string) => flagFor(field, words) ?? all);
}

function wordFor(field: string, words: Words | undefined): string {
  const flag = flagFor(field, words);
  if (flag !== undefined) return flag;
  return words !== undefined && Object.hasOwn(words.args, field) ? `<${field}>` : field;
}

function flagFor(field: string, words: Words | undefined): string | undefined {
  const names = [field, field.replace(/_id$/, ''), otherNames[field] ?? field];
  const known = words?.flags ?? {};
  const name = names.map(toCamelCase).find((one) => Object.hasOwn(known, one));
  return name === undefined ? undefined : toFlag(name);
}

function toCamelCase(field: string): string {
  return field.replaceAll(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}

/** The flag as it is typed: `serviceHost` → `--service-host`. */
export function toFlag(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
