/** What keeps a host from its work, and what a person must do about it. */
import { List, ListItem } from '@patternfly/react-core';
import type { ReactElement } from 'react';

import { troublesOfHost, wordsOfCondition } from '../../components/remedies.ts';
import { Notice } from '../../components/thing-page.tsx';
import type { Host } from './hosts-page.tsx';

export function HostTroubles({ host }: { host: Host }): ReactElement {
  return (
    <>
      {troublesOfHost(host).map(({ title, remedy, isGrave }) => (
        <Notice key={title} isGrave={isGrave} title={title}>
          {remedy}
        </Notice>
      ))}
      {host.conditions.map((condition) => (
        <Condition key={condition.kind} {...wordsOfCondition(condition)} />
      ))}
      {host.hypervisors
        .filter(({ healthy }) => !healthy)
        .map(({ hypervisor, reason }) => (
          <Notice key={hypervisor} title={`Its hypervisor ${hypervisor} cannot be used`}>
            {reason} What needs it cannot be attached here before that is mended; the agent looks
            again by itself.
          </Notice>
        ))}
    </>
  );
}

function Condition({
  title,
  remedy,
  steps,
  isGrave,
}: ReturnType<typeof wordsOfCondition>): ReactElement {
  return (
    <Notice isGrave={isGrave} title={title}>
      {steps.length > 0 && (
        <List>
          {steps.map((step) => (
            <ListItem key={step}>{step}</ListItem>
          ))}
        </List>
      )}
      {remedy}
    </Notice>
  );
}
