/** Names and values of one thing. */
import {
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Label,
  LabelGroup,
} from '@patternfly/react-core';
import type { ReactElement, ReactNode } from 'react';

export interface FactsProps {
  /** A null or undefined value is left out. */
  readonly facts: readonly (readonly [string, ReactNode])[];
}

export function Facts({ facts }: FactsProps): ReactElement {
  return (
    <DescriptionList isCompact columnModifier={{ default: '1Col', md: '2Col', '2xl': '3Col' }}>
      {facts
        .filter(([, value]) => value !== null && value !== undefined && value !== '')
        .map(([name, value]) => (
          <DescriptionListGroup key={name}>
            <DescriptionListTerm>{name}</DescriptionListTerm>
            <DescriptionListDescription>{value}</DescriptionListDescription>
          </DescriptionListGroup>
        ))}
    </DescriptionList>
  );
}

export function Words({ words, what }: { words: readonly string[]; what: string }): ReactElement {
  if (words.length === 0) return <>none</>;
  return (
    <LabelGroup aria-label={what} numLabels={6}>
      {words.map((word) => (
        <Label key={word} isCompact variant="outline">
          {word}
        </Label>
      ))}
    </LabelGroup>
  );
}

export function Id({ id }: { id: string }): ReactElement {
  return <span className="console-mono">{id}</span>;
}
