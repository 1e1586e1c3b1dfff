/** How a version comes to the hosts: who goes first, how many at a time, and when it stops by itself. */
import { ExpandableSection } from '@patternfly/react-core';
import type { ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { TextField, toNames } from '../../components/fields.tsx';

export type Rollout = Result<'showDeployment'>['rollout'];

/** As typed. */
export interface Pace {
  readonly canary: string;
  readonly canary_hosts: string;
  readonly batch: string;
  readonly pause_seconds: string;
  readonly max_failures: string;
}

type NumberName = Exclude<keyof Pace, 'canary_hosts'>;

interface NumberField {
  readonly name: NumberName;
  readonly label: string;
  readonly help: string;
  readonly min: number;
  readonly max: number;
}

const fields: readonly NumberField[] = [
  {
    name: 'canary',
    label: 'How many hosts go first',
    help: 'The others wait until these are done. Empty: all alike.',
    min: 1,
    max: 10_000,
  },
  {
    name: 'batch',
    label: 'Hosts at once',
    help: 'Empty: all at once.',
    min: 1,
    max: 10_000,
  },
  {
    name: 'pause_seconds',
    label: 'Seconds between batches',
    help: 'Empty: none.',
    min: 0,
    max: 604_800,
  },
  {
    name: 'max_failures',
    label: 'Hosts that may fail',
    help: 'After more, nothing more is begun. Empty: none.',
    min: 0,
    max: 10_000,
  },
];

export function paceOf(rollout: Rollout = {}): Pace {
  const text = (value: number | undefined): string => value?.toString() ?? '';
  return {
    canary: text(rollout.canary),
    canary_hosts: rollout.canary_hosts?.join(', ') ?? '',
    batch: text(rollout.batch),
    pause_seconds: text(rollout.pause_seconds),
    max_failures: text(rollout.max_failures),
  };
}

function faultOf({ min, max }: NumberField, text: string): string | undefined {
  if (text === '') return undefined;
  const value = Number(text);
  const isRight = /^\d{1,6}$/.test(text) && value >= min && value <= max;
  return isRight ? undefined : `A whole number from ${min} to ${max}.`;
}

/** Undefined while something that was typed is not right. */
export function toRollout(pace: Pace): Rollout | undefined {
  const rollout: Rollout = {};
  for (const field of fields) {
    const text = pace[field.name];
    if (faultOf(field, text) !== undefined) return undefined;
    if (text !== '') rollout[field.name] = Number(text);
  }
  const hosts = toNames(pace.canary_hosts);
  return hosts.length === 0 ? rollout : { ...rollout, canary_hosts: hosts };
}

export interface PaceFieldsProps {
  readonly pace: Pace;
  readonly onChange: (pace: Pace) => void;
}

export function PaceFields({ pace, onChange }: PaceFieldsProps): ReactElement {
  const said = Object.values(pace).some((text) => text !== '');
  return (
    <ExpandableSection
      toggleText={said ? 'How it comes to the hosts' : 'How it comes to the hosts: all at once'}
      isIndented
    >
      <div className="console-fields">
        {fields.map((field) => (
          <TextField
            key={field.name}
            id={`pace-${field.name}`}
            label={field.label}
            isNumber
            value={pace[field.name]}
            onChange={(text) => onChange({ ...pace, [field.name]: text.trim() })}
            help={field.help}
            fault={faultOf(field, pace[field.name])}
          />
        ))}
        <TextField
          id="pace-canary_hosts"
          label="These hosts first"
          value={pace.canary_hosts}
          onChange={(text) => onChange({ ...pace, canary_hosts: text })}
          help="Names, with commas between them."
        />
      </div>
    </ExpandableSection>
  );
}
