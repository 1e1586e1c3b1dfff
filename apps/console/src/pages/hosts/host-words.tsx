/** The same as the picture, as nested lists. */
import { List, ListItem } from '@patternfly/react-core';
import type { ReactElement } from 'react';

import { AcceleratorLink } from '../../components/links.tsx';
import { stateWords } from '../../components/states.tsx';
import { nameOf, type Card } from './host-layout.ts';
import { holderOf, titleOf, type PictureProps } from './host-picture.tsx';

export function HostWords({ nodes, holders }: PictureProps): ReactElement {
  return (
    <List>
      {nodes.map((node) => (
        <ListItem key={String(node.node)}>
          {titleOf(node)}
          <List>
            {node.roots.flatMap(({ root, cards }) =>
              cards.map((card) => (
                <ListItem key={card.device.id}>
                  <CardWords card={card} root={root} holders={holders} />
                </ListItem>
              )),
            )}
          </List>
        </ListItem>
      ))}
    </List>
  );
}

interface CardWordsProps {
  readonly card: Card;
  readonly root: string | null;
  readonly holders: PictureProps['holders'];
}

function CardWords({
  card: { device, accelerators },
  root,
  holders,
}: CardWordsProps): ReactElement {
  const place = [
    device.address === null ? undefined : `at ${device.address}`,
    root === null ? undefined : `below ${root}`,
    device.presence === 'present' ? undefined : device.presence,
  ].filter((word) => word !== undefined);
  return (
    <>
      {device.type}: {nameOf(device)} {place.join(', ')}
      <List>
        {accelerators.map((accelerator) => {
          const holder = holderOf(accelerator, holders);
          return (
            <ListItem key={accelerator.id}>
              <AcceleratorLink id={accelerator.id} name={accelerator.name} />:{' '}
              {stateWords(accelerator.state)}
              {holder !== undefined && `, held by ${holder}`}
              {accelerator.reason !== null && `: ${accelerator.reason}`}
            </ListItem>
          );
        })}
      </List>
    </>
  );
}
