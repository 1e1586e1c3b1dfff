import {
  Card,
  CardBody,
  Flex,
  FormGroup,
  PageSection,
  Progress,
  SearchInput,
  TextInput,
} from '@patternfly/react-core';
import { acceleratorTypes } from '@cyborg/model/accelerator-types';
import { useEffect, useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { useListQuery } from '../../components/list-query.ts';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { useIsAdmin, useWho } from '../../session/who.ts';

type Quota = Result<'showQuota'>;
type Limit = Quota['limits'][number];

export function QuotasPage(): ReactElement {
  const { caller } = useWho();
  const isAdmin = useIsAdmin();
  const query = useListQuery();
  const project = query.values['project'] ?? caller.project_id;
  return (
    <>
      <PageHead title="Quotas" about="How many accelerators of each type a project may hold." />
      <PageSection isFilled>
        {isAdmin && (
          <ProjectChoice project={project} choose={(next) => query.set({ project: next })} />
        )}
        <Card>
          <CardBody>
            <OneQuota project={project} />
          </CardBody>
        </Card>
      </PageSection>
    </>
  );
}

interface ProjectChoiceProps {
  readonly project: string;
  readonly choose: (project: string) => void;
}

function ProjectChoice({ project, choose }: ProjectChoiceProps): ReactElement {
  const [text, setText] = useState(project);
  useEffect(() => setText(project), [project]);
  return (
    <SearchInput
      className="console-project"
      aria-label="Project"
      placeholder="Project"
      value={text}
      onChange={(_event, value) => setText(value)}
      onSearch={(_event, value) => choose(value.trim())}
      onClear={() => choose('')}
    />
  );
}

function OneQuota({ project }: { project: string }): ReactElement {
  const reading = useRead('showQuota', { params: { project_id: project } });
  const { data, etag, error, again } = reading;
  const [limit, setLimit] = useState<Limit>();
  if (error !== null) return <Failure error={error} what="quota" again={again} />;
  if (data === undefined) return <Loading what="the quota" />;
  return (
    <>
      <ListTable
        label={`Quota of ${project}`}
        items={rowsOf(data)}
        columns={columnsWith(setLimit)}
        keyOf={({ type }) => type}
      />
      {limit !== undefined && (
        <LimitDialog
          project={project}
          limit={limit}
          etag={etag}
          close={() => setLimit(undefined)}
        />
      )}
    </>
  );
}

/** Types without a limit too: they can be given one. */
function rowsOf({ limits }: Quota): Limit[] {
  const known = new Set(limits.map(({ type }) => type));
  const rest = acceleratorTypes
    .filter((type) => !known.has(type))
    .map((type) => ({ type, accelerators_max: null, accelerators_used: 0 }));
  return [...limits, ...rest].toSorted((one, other) => one.type.localeCompare(other.type));
}

function columnsWith(open: (limit: Limit) => void): readonly Column<Limit>[] {
  return [
    { title: 'Type', cell: ({ type }) => type },
    { title: 'Held', cell: ({ accelerators_used: used }) => used },
    {
      title: 'At most',
      cell: ({ type, accelerators_max: most, accelerators_used: used }) =>
        most === null ? (
          'no limit'
        ) : (
          <Progress
            aria-label={`${type}: ${used} of ${most}`}
            value={most === 0 ? 100 : Math.min(100, (100 * used) / most)}
            label={`${used} of ${most}`}
            measureLocation="outside"
          />
        ),
    },
    {
      title: 'Acts',
      cell: (limit) => (
        <ActButton action="quota:update" variant="link" size="sm" onClick={() => open(limit)}>
          Change
        </ActButton>
      ),
    },
  ];
}

interface LimitDialogProps {
  readonly project: string;
  readonly limit: Limit;
  readonly etag: string | undefined;
  readonly close: () => void;
}

function LimitDialog({ project, limit, etag, close }: LimitDialogProps): ReactElement {
  const { say } = useToasts();
  const [text, setText] = useState(limit.accelerators_max?.toString() ?? '');
  const isRight = /^\d{0,6}$/.test(text);
  const accelerators = text === '' ? null : Number(text);
  const limits = [{ type: limit.type, accelerators_max: accelerators }];
  return (
    <ActDialog
      name="updateQuota"
      title={`${limit.type} of project ${project}`}
      verb="Save"
      args={isRight ? { params: { project_id: project }, body: { limits } } : undefined}
      ifMatch={etag}
      close={close}
      onDone={() => say('Saved.')}
    >
      <Flex>
        <FormGroup label="At most (empty: no limit)" fieldId="quota-most">
          <TextInput
            id="quota-most"
            inputMode="numeric"
            value={text}
            validated={isRight ? 'default' : 'error'}
            onChange={(_event, value) => setText(value.trim())}
          />
        </FormGroup>
      </Flex>
    </ActDialog>
  );
}
