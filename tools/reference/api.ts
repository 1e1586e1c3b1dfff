/** docs/reference/api.md, from the OpenAPI document. */
import { openApiText } from '../../packages/api-spec/src/generate.ts';
import { policy } from '../../packages/model/src/policy.ts';
import { inCell, meaningOf, typeText, type Schema } from './type-text.ts';

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

type Contents = Readonly<Record<string, { readonly schema?: Schema }>>;

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Contents };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Contents }>
  >;
  readonly 'x-policy-action': string | null;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

interface Placed extends Operation {
  readonly method: string;
  readonly path: string;
}

const head = `# The v3 API

<!-- Generated from openapi/v3.json by tools/reference; npm run generate writes it, a test compares. -->

The same as a file for programs: [openapi/v3.json](../../openapi/v3.json), and \`/v3/openapi.json\` of a running server;
\`/v3/docs\` there is a page to read and try. OpenStack's v2 API is at \`/accelerator/v2\`:
[where it differs](v2-differences.md).

    curl -u admin:PASSWORD http://127.0.0.1:6680/v3/accelerators?state=available

- Credentials: HTTP Basic with \`--auth http_basic\`, \`X-Auth-Token\` with \`--auth keystone\`.
- Lists answer \`{items, next}\`; \`next\` is the \`marker\` of the next page, or null.
- A refusal is a [Problem](#problem): [all codes](errors.md), and what makes a change safe to repeat (\`dry_run\`,
  \`Idempotency-Key\`, \`If-Match\`).
- A 202 answers an [Operation](#operation): poll it, or follow it with \`Accept: text/event-stream\`.
- *Roles* may call at all; which things they see and touch depends on project and grants. Times are UTC. \`≤\` is a length, a
  count or a value at most.
`;

export function apiMarkdown(): string {
  const document: Document = JSON.parse(openApiText());
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Placed => ({ ...operation, method, path })),
  );
  const groups = Map.groupBy(operations, ({ tags }) => tags[0] ?? '');
  const index = [...groups].map(
    ([name, of]) => `| [${name}](#${name}) | ${of.map(link).join(', ')} |`,
  );
  const sections = [...groups].flatMap(([name, of]) => [`## ${name}`, ...of.map(operationText)]);
  const schemas = Object.entries(document.components.schemas).map(schemaText);
  const table = ['| resource | calls |', '|---|---|', ...index].join('\n');
  return `${[head, table, ...sections, '## What is answered', ...schemas].join('\n\n').replaceAll(/\n{3,}/g, '\n\n')}\n`;
}

const link = ({ operationId }: Placed): string => `[${operationId}](#${operationId.toLowerCase()})`;

function operationText(operation: Placed): string {
  const { operationId, method, path, summary, description } = operation;
  return [
    `### ${operationId}`,
    `\`${method.toUpperCase()} ${path}\``,
    `${sentence(summary)}${description === undefined ? '' : ` ${sentence(description)}`} ${rolesText(operation)}`,
    rowsText(inputRows(operation)),
    answersText(operation),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

function rolesText({ 'x-policy-action': action }: Placed): string {
  const [, roles] = Object.entries(policy).find(([name]) => name === action) ?? [];
  return roles === undefined ? '*Anybody who is known.*' : `*${roles.join(', ')}.*`;
}

/** Names, place, type, meaning. */
type Row = readonly [string, string, string, string];

function inputRows({ parameters = [], requestBody }: Placed): Row[] {
  const given = parameters.map(({ name, in: place, required, description, schema }): Row => {
    const about = description === undefined ? schema : { ...schema, description };
    return [nameOf(name, required), place, typeText(schema), meaningOf(about)];
  });
  return [...given, ...Object.entries(requestBody?.content ?? {}).flatMap(bodyRows)];
}

function bodyRows([type, { schema }]: [string, { readonly schema?: Schema }]): Row[] {
  if (schema?.properties === undefined) {
    return [['**(body)**', 'body', schema === undefined ? `\`${type}\`` : typeText(schema), '']];
  }
  return fieldRows(schema).map(([name, about, meaning]) => [name, 'body', about, meaning]);
}

function fieldRows({ properties = {}, required = [] }: Schema): [string, string, string][] {
  return Object.entries(properties).map(([name, schema]) => [
    nameOf(name, required.includes(name)),
    typeText(schema),
    meaningOf(schema),
  ]);
}

const nameOf = (name: string, isRequired: boolean): string =>
  isRequired ? `**\`${name}\`**` : `\`${name}\``;

function rowsText(rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  const lines = rows.map((cells) => `| ${cells.join(' | ')} |`);
  return ['| field | in | type | meaning |', '|---|---|---|---|', ...lines].join('\n');
}

function answersText({ responses }: Placed): string {
  const answers = Object.entries(responses)
    .filter(([status]) => !status.endsWith('XX'))
    .map(([status, { description, content }]) => {
      const types = Object.entries(content ?? {}).map(([type, { schema }]) =>
        schema === undefined ? `\`${type}\`` : answerText(schema),
      );
      return `${status} ${types.length === 0 ? description.toLowerCase() : types.join(' or ')}`;
    });
  return `Answers ${answers.join('; ')}.`;
}

/** A page names what is on it. */
function answerText(schema: Schema): string {
  const items = schema.properties?.['items'];
  return items === undefined ? typeText(schema) : `a page of ${typeText(items.items ?? {})}`;
}

function schemaText([name, schema]: [string, Schema]): string {
  const rows = fieldRows(schema).map(([field, type, meaning]) => {
    return `| ${field.replaceAll('*', '')} | ${type} | ${inCell(meaning)} |`;
  });
  return [`### ${name}`, '', '| field | type | meaning |', '|---|---|---|', ...rows].join('\n');
}
