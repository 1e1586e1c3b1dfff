/** Whether an accelerator that nobody holds may be given out; withheld always has a reason. */
import { unreachable } from './unreachable.ts';

export type WithheldReason =
  | 'not approved'
  | 'host uses it'
  | 'operator'
  | 'unhealthy'
  | 'cannot be given'
  | 'programming failed'
  | 'not sure which card it is'
  | 'absent'
  | 'stale'
  | 'not reported yet';

/** In the driver protocol, too: the one reason of a driver that an operator may overrule. */
export const notApproved = 'not approved' satisfies WithheldReason;

export type Presence = 'present' | 'absent' | 'stale';
export type HealthStatus = 'healthy' | 'degraded' | 'failed' | 'unknown';

export interface OfferingFacts {
  /** Set by an operator: `offer` approves, `withhold` holds back whatever the rules say; null leaves it to the rules. */
  readonly operatorChoice: 'offer' | 'withhold' | null;
  /** The operator's words, kept with a `withhold`. */
  readonly operatorReason: string | null;
  /** The backend's rules offer it. */
  readonly ruleOffers: boolean;
  /** What the host uses it for; wins over every rule and every operator. */
  readonly hostUse: string | null;
  /** What its driver says keeps it from being given at all; wins over every rule and every operator, too. */
  readonly obstacle: string | null;
  /** Beside what else the driver says. */
  readonly lacksApproval: boolean;
  /** Why the last writing of a program image failed: what is in the card now, nobody knows. */
  readonly programFailure: string | null;
  /** It may be a card that somebody holds; until an operator says that it is not. */
  readonly doubt: string | null;
  readonly presence: Presence;
  readonly health: HealthStatus;
}

export type Offering =
  | { readonly state: 'available'; readonly reason: null }
  | { readonly state: 'withheld'; readonly reason: string };

const available: Offering = { state: 'available', reason: null };

function withheld(reason: WithheldReason, detail?: string | null): Offering {
  return { state: 'withheld', reason: detail ? `${reason}: ${detail}` : reason };
}

/** The first of the reasons that holds, the most protective first. */
export function offeringOf(facts: OfferingFacts): Offering {
  if (facts.hostUse !== null) return withheld('host uses it', facts.hostUse);
  if (facts.presence === 'absent') return withheld('absent');
  if (facts.presence === 'stale') return withheld('stale');
  if (facts.operatorChoice === 'withhold') return withheld('operator', facts.operatorReason);
  if (facts.health === 'failed') return withheld('unhealthy');
  if (facts.programFailure !== null) return withheld('programming failed', facts.programFailure);
  if (facts.obstacle !== null) {
    const isApproved = facts.operatorChoice === 'offer' || !facts.lacksApproval;
    return withheld(isApproved ? 'cannot be given' : 'not approved', facts.obstacle);
  }
  if (facts.doubt !== null) return withheld('not sure which card it is', facts.doubt);
  switch (facts.operatorChoice) {
    case 'offer':
      return available;
    case null:
      return facts.ruleOffers ? available : withheld(notApproved);
    default:
      return unreachable(facts.operatorChoice);
  }
}
