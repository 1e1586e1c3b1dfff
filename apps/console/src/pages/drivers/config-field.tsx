/** A backend's configuration as JSON, with the keys that its kind knows. */
import type { ReactElement } from 'react';

import { TextField } from '../../components/fields.tsx';
import { toObject } from '../../components/json-text.ts';
import type { Driver } from './drivers-page.tsx';

type Kind = Driver['kinds'][number];

export interface ConfigFieldProps {
  readonly id: string;
  readonly kind: Kind | undefined;
  readonly value: string;
  readonly onChange: (text: string) => void;
}

export function ConfigField({ id, kind, value, onChange }: ConfigFieldProps): ReactElement {
  const known = kind === undefined ? [] : keysOf(kind);
  return (
    <TextField
      id={id}
      label="Configuration, as JSON"
      isCode
      value={value}
      placeholder="{}"
      onChange={onChange}
      help={known.length === 0 ? 'It takes none.' : `It knows ${known.join(', ')}.`}
      fault={toObject(value) === undefined ? 'It must be a JSON object, such as {}.' : undefined}
    />
  );
}

export function keysOf({ config_schema: schema }: Kind): string[] {
  const properties: unknown = schema['properties'];
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
}
