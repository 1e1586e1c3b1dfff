/** States as coloured words: never by colour alone. */
import { Label, type LabelProps } from '@patternfly/react-core';
import type { AcceleratorState } from '@cyborg/model/accelerator-lifecycle';
import type { ReactElement } from 'react';

type Color = NonNullable<LabelProps['color']>;

const acceleratorColors = {
  available: 'green',
  attached: 'blue',
  reserved: 'teal',
  cleaning: 'orange',
  cleaning_failed: 'red',
  withheld: 'grey',
  updating: 'purple',
  orphaned: 'yellow',
} as const satisfies Record<AcceleratorState, Color>;

const otherColors: Readonly<Record<string, Color>> = {
  up: 'green',
  down: 'red',
  enabled: 'green',
  disabled: 'grey',
  ready: 'green',
  pending: 'grey',
  stale: 'orange',
  failed: 'red',
  blocked: 'orange',
  removing: 'orange',
  draining: 'orange',
  present: 'green',
  absent: 'red',
  missing: 'orange',
  vanished: 'red',
  healthy: 'green',
  degraded: 'orange',
  unknown: 'grey',
  queued: 'grey',
  running: 'blue',
  waiting: 'orange',
  uploaded: 'orange',
  approved: 'green',
  conforms: 'green',
  'does not conform': 'red',
  succeeded: 'green',
  cancelled: 'grey',
  ACTIVE: 'green',
  SHUTOFF: 'grey',
  PAUSED: 'orange',
  attached: 'blue',
  attaching: 'teal',
  requested: 'grey',
  reserved: 'teal',
  detaching: 'orange',
  released: 'grey',
  plugged: 'green',
};

export const acceleratorStates = Object.keys(acceleratorColors);

export function stateWords(state: string): string {
  return state.replaceAll('_', ' ');
}

export function State({ state }: { state: string }): ReactElement {
  const colors: Readonly<Record<string, Color>> = { ...otherColors, ...acceleratorColors };
  return (
    <Label color={colors[state] ?? 'grey'} isCompact>
      {stateWords(state)}
    </Label>
  );
}
