/** Parsed XML (by fast-xml-parser, attributes with an @), read without trusting its shape. */

export function valuesOf(node: unknown): unknown[] {
  return typeof node === 'object' && node !== null ? Object.values(node) : [];
}

/** An element or attribute; of several elements of one name, the first. */
export function child(node: unknown, key: string): unknown {
  const one: unknown = Array.isArray(node) ? node[0] : node;
  if (typeof one !== 'object' || one === null) return undefined;
  return Object.getOwnPropertyDescriptor(one, key)?.value;
}

/** All elements of one name. */
export function listOf(node: unknown, key: string): unknown[] {
  const found = child(node, key);
  if (found === undefined) return [];
  return Array.isArray(found) ? found : [found];
}

/** Text of an element with or without attributes, or of an attribute. */
export function textOf(node: unknown): string | undefined {
  const text = typeof node === 'string' ? node : child(node, '#text');
  return typeof text === 'string' && text !== '' ? text : undefined;
}
