/** Templates: texts with `{NAME}`, which stands for what is known of a function. */

/** Names that traits may hold; `read` adds to them. */
export const traitNames = [
  'VENDOR',
  'PRODUCT',
  'MODEL',
  'MDEV_TYPE',
  'PHYSICAL_NETWORK',
  'NETWORK_FUNCTION',
] as const;

/** Values by name; a name with several gives several texts, one with none gives no text. */
export type Values = (name: string) => readonly string[];

const placeholder = /\{([A-Za-z0-9_]+)\}/u;

export function namesIn(template: string): string[] {
  return [...template.matchAll(/\{([A-Za-z0-9_]+)\}/gu)].map(([, name = '']) => name);
}

/** Every text that the template gives with these values. */
export function render(template: string, valuesOf: Values): string[] {
  const found = placeholder.exec(template);
  if (found === null) return [template];
  const [text, name = ''] = found;
  return valuesOf(name).flatMap((value) =>
    render(template.split(text).join(value.replaceAll(/[{}]/gu, '')), valuesOf),
  );
}

const traitCharactersMax = 255;

/** Placement's alphabet is capital letters, digits and underscores. */
export function renderTraits(templates: readonly string[], valuesOf: Values): string[] {
  return templates
    .flatMap((template) => render(template, (name) => valuesOf(name).map(toWord)))
    .map((trait) => trait.slice(0, traitCharactersMax));
}

function toWord(value: string): string {
  return value.toUpperCase().replaceAll(/[^A-Z0-9]+/gu, '_');
}
