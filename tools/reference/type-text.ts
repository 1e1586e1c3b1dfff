/** A JSON schema in a few words, for a cell of a table. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly format?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

export function typeText(schema: Schema): string {
  if (schema.$ref !== undefined) return linkTo(schema.$ref);
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ');
  if (schema.anyOf !== undefined) return unionText(schema.anyOf);
  if (schema.type === 'array') return listText(schema);
  if (isId(schema)) return 'id';
  if (schema.properties !== undefined) return objectText(schema);
  if (schema.patternProperties !== undefined) return mapText(schema);
  const name = schema.format === 'date-time' ? 'time' : (schema.type ?? 'anything');
  return `${name}${limitText(schema)}`;
}

function listText({ items = {}, maxItems }: Schema): string {
  return `list${maxItems === undefined ? '' : ` (≤ ${maxItems})`} of ${typeText(items)}`;
}

/** Its type says it all. */
const isId = ({ description }: Schema): boolean =>
  description?.startsWith('an id, such as') === true;

function unionText(parts: readonly Schema[]): string {
  const texts = parts.map(typeText);
  return [...new Set(texts)].join(texts.length > 2 ? ', ' : ' or ');
}

function objectText({ properties = {}, required = [] }: Schema): string {
  const names = Object.keys(properties).map((name) =>
    required.includes(name) ? name : `${name}?`,
  );
  return names.length === 0 ? 'object' : `\`{${names.join(', ')}}\``;
}

function mapText({ patternProperties = {}, ...schema }: Schema): string {
  const [of = {}] = Object.values(patternProperties);
  return `object of ${typeText(of)}${limitText(schema)}`;
}

function limitText(schema: Schema): string {
  const { minimum, maximum, maxLength, maxProperties } = schema;
  if (maxLength !== undefined) return ` ≤ ${maxLength}`;
  if (maxProperties !== undefined) return ` ≤ ${maxProperties}`;
  if (minimum !== undefined && maximum !== undefined) return ` ${minimum}–${maximum}`;
  if (minimum !== undefined) return ` ≥ ${minimum}`;
  return maximum === undefined ? '' : ` ≤ ${maximum}`;
}

function linkTo(ref: string): string {
  const name = ref.slice(ref.lastIndexOf('/') + 1);
  return `[${name}](#${name.toLowerCase()})`;
}

const code = (value: unknown): string => `\`${JSON.stringify(value).replaceAll('"', '')}\``;

/** What is said of it; else of its items, or of one of its forms. */
export function meaningOf(schema: Schema): string {
  const speaking = [schema, schema.items ?? {}, ...(schema.anyOf ?? [])].find(
    ({ description }) => description !== undefined,
  );
  const parts = [
    speaking === undefined || isId(speaking) ? undefined : speaking.description,
    schema.default === undefined ? undefined : `Default ${code(schema.default)}.`,
  ];
  return inCell(parts.filter((part) => part !== undefined).join(' '));
}

export function inCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
