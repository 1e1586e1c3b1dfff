/** States that need a person, and what there is to do about each, in words. */

export interface Trouble {
  readonly title: string;
  readonly remedy: string;
  readonly isGrave: boolean;
}

interface BackendLike {
  readonly state: string;
  readonly quarantined_since: string | null;
}

const quarantined: Trouble = {
  title: 'Its driver keeps dying, and is not started again by itself',
  remedy:
    'Its last lines say why, as a rule. Mend that, then have it started once more with Restart; another version or configuration, on the page of its driver, starts it too.',
  isGrave: true,
};

/** By the state of a backend; the others need nobody. */
const backendTroubles: Readonly<Record<string, Trouble>> = {
  pending: {
    title: 'Its host has not said yet how it fares',
    remedy: 'Nothing to do while its host is up. When it is down, see to its agent.',
    isGrave: false,
  },
  stale: {
    title: 'Its driver does not answer',
    remedy:
      'It is started again by itself, and its last good inventory is shown meanwhile. If it stays like this, look at its last lines, then Restart.',
    isGrave: false,
  },
  failed: {
    title: 'Its driver cannot serve it',
    remedy:
      'Look at its last lines; change its configuration or its version on the page of its driver, or Restart once the cause is mended.',
    isGrave: true,
  },
  blocked: {
    title: 'It cannot begin before somebody has prepared its host',
    remedy: 'Do on the host what is said here. It begins by itself then.',
    isGrave: false,
  },
  draining: {
    title: 'It is being uninstalled, and nothing new is given out from it',
    remedy:
      'It goes by itself when what is held of it is detached and clean. If a guest does not let go: stop it, detach by force, or uninstall once more and choose that what is in use stays attached.',
    isGrave: false,
  },
  removing: {
    title: 'It is being taken away from its host',
    remedy:
      'Nothing to do while its host is up; a host that is down does it when it is back. Where something stays attached without its driver, the backend is kept for that alone: install the driver again, with a backend of this name, and it is as before; or detach it.',
    isGrave: false,
  },
};

export function troubleOfBackend({
  state,
  quarantined_since: since,
}: BackendLike): Trouble | undefined {
  return since === null ? backendTroubles[state] : quarantined;
}

/** By the state of an accelerator; the others need nobody, or their reason says all of it. */
const acceleratorRemedies: Readonly<Record<string, string>> = {
  cleaning_failed:
    'Nobody is given it before it is clean. Mend the cause, then Clean again; or say with Approve why it is clean after all.',
  orphaned:
    'It is still attached, and has no driver: nobody can prepare or clean it. Install its driver again, with a backend of the same name, and it is as before; or detach it.',
  withheld:
    'Nobody is given it. Mend what the reason names; Approve offers it again where nothing else is in the way.',
};

export function remedyOfAccelerator(state: string): string | undefined {
  return acceleratorRemedies[state];
}

interface HostLike {
  readonly state: string;
  readonly status: string;
  readonly status_reason: string | null;
}

export function troublesOfHost({
  state,
  status,
  status_reason: why,
}: HostLike): readonly Trouble[] {
  const down: Trouble = {
    title: 'It is down: its agent does not report',
    remedy:
      'See that the machine runs, its agent (the service cyborg-agent) too, and that it reaches this server; its log says what it waits for. What is attached stays attached. A lost credential is replaced with Enrol again.',
    isGrave: true,
  };
  const disabled: Trouble = {
    title: 'Nothing new is given out from here: it is disabled',
    remedy: `${why === null ? '' : `${why}. `}Enable gives out from it again.`,
    isGrave: false,
  };
  return [...(state === 'down' ? [down] : []), ...(status === 'disabled' ? [disabled] : [])];
}

/** Of the condition of a host that says what its blocked backends wait for, one of them a part. */
const setupRequired = 'setup-required';
const between = ' | ';

interface ConditionLike {
  readonly kind: string;
  readonly message: string;
  readonly blocks_attaching: boolean;
}

export interface ConditionWords extends Trouble {
  /** What is to be done, one by one; empty where the title says all of it. */
  readonly steps: readonly string[];
}

export function wordsOfCondition(condition: ConditionLike): ConditionWords {
  const { kind, message, blocks_attaching: isGrave } = condition;
  if (kind !== setupRequired) {
    const remedy = isGrave ? 'Nothing is attached here while this lasts.' : '';
    return { title: message, remedy, steps: [], isGrave };
  }
  return {
    title: 'Somebody must prepare this host before its blocked backends can begin',
    remedy: 'Each begins by itself when its host has what it needs. All others go on meanwhile.',
    steps: message.split(between),
    isGrave,
  };
}
