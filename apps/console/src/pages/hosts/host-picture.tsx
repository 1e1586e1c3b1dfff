/** One host drawn as boxes in boxes: each accelerator is a link, coloured by its state, that says its name and holder. */
import { Card, CardBody, CardTitle, Tooltip } from '@patternfly/react-core';
import type { ReactElement } from 'react';
import { Link } from 'react-router';

import { acceleratorStates, stateWords } from '../../components/states.tsx';
import {
  nameOf,
  type Accelerator,
  type Card as CardOfHost,
  type NumaNode,
  type RootPort,
} from './host-layout.ts';

export interface PictureProps {
  readonly nodes: readonly NumaNode[];
  /** Names of instances by id, as far as the caller sees them. */
  readonly holders: ReadonlyMap<string, string>;
}

export function HostPicture({ nodes, holders }: PictureProps): ReactElement {
  const shown = new Set(
    nodes.flatMap(({ roots }) =>
      roots.flatMap(({ cards }) =>
        cards.flatMap((card) => card.accelerators.map((one) => one.state)),
      ),
    ),
  );
  return (
    <>
      <p className="console-legend">
        {acceleratorStates
          .filter((state) => shown.has(state))
          .map((state) => (
            <span key={state}>
              <span className={`console-dot console-state-${state}`} />
              {stateWords(state)}
            </span>
          ))}
      </p>
      <div className="console-nodes">
        {nodes.map((node) => (
          <Card key={String(node.node)} isCompact>
            <CardTitle component="h3">{titleOf(node)}</CardTitle>
            <CardBody>
              {node.roots.map((root) => (
                <Root key={String(root.root)} root={root} holders={holders} />
              ))}
            </CardBody>
          </Card>
        ))}
      </div>
    </>
  );
}

export function titleOf({ node }: NumaNode): string {
  return node === null ? 'No NUMA node' : `NUMA node ${node}`;
}

interface RootProps {
  readonly root: RootPort;
  readonly holders: PictureProps['holders'];
}

function Root({ root, holders }: RootProps): ReactElement {
  return (
    <div className="console-root">
      {root.root !== null && <div className="console-mono console-port">{root.root}</div>}
      <div className="console-cards">
        {root.cards.map((card) => (
          <OneCard key={card.device.id} card={card} holders={holders} />
        ))}
      </div>
    </div>
  );
}

interface CardProps {
  readonly card: CardOfHost;
  readonly holders: PictureProps['holders'];
}

function OneCard({ card: { device, accelerators }, holders }: CardProps): ReactElement {
  return (
    <div className={device.presence === 'absent' ? 'console-card console-absent' : 'console-card'}>
      <div className="console-card-name">
        {nameOf(device)} {device.presence === 'present' ? '' : `(${device.presence})`}
      </div>
      {device.address !== null && <div className="console-mono">{device.address}</div>}
      <div className="console-slots">
        {accelerators.map((accelerator) => (
          <Slot key={accelerator.id} accelerator={accelerator} holders={holders} />
        ))}
        {accelerators.length === 0 && <small>nothing to give</small>}
      </div>
    </div>
  );
}

interface SlotProps {
  readonly accelerator: Accelerator;
  readonly holders: PictureProps['holders'];
}

function Slot({ accelerator, holders }: SlotProps): ReactElement {
  const { id, name, state, reason } = accelerator;
  const holder = holderOf(accelerator, holders);
  const words = [name, stateWords(state), holder && `held by ${holder}`, reason]
    .filter((word) => word !== null && word !== undefined && word !== '')
    .join(', ');
  return (
    <Tooltip content={words}>
      <Link
        to={`/accelerators/${id}`}
        aria-label={words}
        className={`console-slot console-state-${state}`}
      >
        {shortName(accelerator)}
        {holder !== undefined && <strong> {holder}</strong>}
      </Link>
    </Tooltip>
  );
}

/** Names often end in an address: its function tells them apart on one card. */
function shortName({ name }: Accelerator): string {
  return name.slice(name.lastIndexOf(':') + 1);
}

export function holderOf(
  { instance_id: id }: Accelerator,
  holders: PictureProps['holders'],
): string | undefined {
  return id === null ? undefined : (holders.get(id) ?? id.slice(0, 8));
}
