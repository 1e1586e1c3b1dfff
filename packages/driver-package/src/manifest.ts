/** manifest.json: what a driver says of itself, before any of its code has run. */
import Type, { type Static, type TSchema } from 'typebox';
import { Check } from 'typebox/value';

import { HostNeedsSchema } from './needs.ts';
import { packageLimits } from './limits.ts';
import { checkKeys, checkKinds, checkPresets } from './manifest-rules.ts';
import { PackageError } from './package-error.ts';
import { wrongIn } from './wrong-in.ts';

const closed = { additionalProperties: false } as const;
const Slug = Type.String({
  minLength: 1,
  maxLength: 63,
  pattern: '^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$',
  description:
    'Letters, digits, dots, dashes and underscores, with a letter or digit at both ends.',
});
const Text = Type.String({ minLength: 1, maxLength: 255 });
const Values = Type.Record(Type.String(), Type.Unknown());
const File = Type.String({
  minLength: 1,
  maxLength: packageLimits.pathCharsMax,
  pattern: '^[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*(/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)*$',
  description: 'A file of the package, such as `src/main.js`.',
});

const described = {
  id: Type.String({
    minLength: 1,
    maxLength: 63,
    pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$',
    description: 'Of the driver, the same in every version: lower-case letters, digits and dashes.',
  }),
  version: Type.String({
    maxLength: 64,
    pattern: '^[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.-]+)?$',
    description: 'A semantic version without build data; the same as in package.json.',
  }),
  title: Type.String({ minLength: 1, maxLength: 255, description: 'One line for people.' }),
  kinds: Type.Array(
    Type.Object(
      {
        kind: Slug,
        title: Text,
        config_schema: Type.Record(Type.String(), Type.Unknown(), {
          description: 'JSON Schema of the configuration of such a backend.',
        }),
        delegable: Type.Array(Text, {
          description: 'Configuration keys that a project manager may set; an admin sets all.',
        }),
        needs: Type.Optional(HostNeedsSchema),
      },
      closed,
    ),
    { minItems: 1, maxItems: 64, description: 'The kinds of backend that the driver has.' },
  ),
  default_backends: Type.Array(Type.Object({ name: Slug, kind: Slug, config: Values }, closed), {
    maxItems: 64,
    description: 'What a bare `cyborg install-driver` installs.',
  }),
  needs: Type.Optional(HostNeedsSchema),
} as const;

/** Of a driver that comes with the release. */
export const BuiltinManifestSchema = Type.Object(described, closed);

export const PackageManifestSchema = Type.Object(
  {
    ...described,
    protocol: Type.Object(
      { min: Type.Integer({ minimum: 1 }), max: Type.Integer({ minimum: 1 }) },
      { ...closed, description: 'Versions of the driver protocol that it speaks, both included.' },
    ),
    entry: File,
    runtime: Type.Union([Type.Literal('node'), Type.Literal('python3'), Type.Literal('program')], {
      description:
        'What `entry` is: JavaScript for the agent’s own Node, Python for the host’s `python3`, or an executable file.',
    }),
    permissions: Type.Optional(
      Type.Object(
        {
          network: Type.Optional(
            Type.Boolean({ default: false, description: 'To open connections of its own.' }),
          ),
        },
        {
          ...closed,
          description: 'What it asks for beyond the wall; whoever approves it grants it.',
        },
      ),
    ),
    definitions: Type.Optional(
      Type.Array(File, { maxItems: 1024, description: 'Device definitions, for people to find.' }),
    ),
  },
  closed,
);
export type PackageManifest = Static<typeof PackageManifestSchema>;

/** @throws PackageError naming the field. */
export function parseManifest(text: string): PackageManifest {
  const content = parseJson('manifest.json', text);
  checkKeys(text);
  const manifest = checked('manifest.json', PackageManifestSchema, content);
  const { protocol, kinds, default_backends: presets } = manifest;
  if (protocol.min > protocol.max) {
    throw new PackageError(
      `manifest.json: protocol.min: ${protocol.min} is above protocol.max ${protocol.max}.`,
    );
  }
  checkKinds(kinds);
  checkPresets(presets, kinds);
  return manifest;
}

const NpmSchema = Type.Object({ name: Text, version: Text });

/** What npm's own package.json says: the name and the version. @throws PackageError naming the field. */
export function parseNpmManifest(text: string): Static<typeof NpmSchema> {
  return checked('package.json', NpmSchema, parseJson('package.json', text));
}

function parseJson(file: string, text: string): unknown {
  if (text.startsWith('\uFEFF')) {
    throw new PackageError(
      `${file} begins with a byte order mark (EF BB BF); save it as UTF-8 without one.`,
    );
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PackageError(`${file} is no JSON: ${why}`);
  }
}

function checked<T extends TSchema>(file: string, schema: T, content: unknown): Static<T> {
  if (Check(schema, content)) return content;
  throw new PackageError(wrongIn(file, schema, content));
}
