/** State machines as data: which event leads where. The shared part of the *-lifecycle files. */
import { ServiceError } from './errors.ts';

export interface Rule<State extends string, Event extends string> {
  /** A settled state changes only by request; an unsettled one is work for a reconciler or an agent. */
  readonly settled: boolean;
  readonly on: Readonly<Partial<Record<Event, State>>>;
}

export type Lifecycle<State extends string, Event extends string> = Readonly<
  Record<State, Rule<State, Event>>
>;

/** Names a machine for its error messages. */
export interface Machine<State extends string, Event extends string> {
  readonly noun: string;
  readonly rules: Lifecycle<State, Event>;
}

/** @throws ServiceError `wrong-state`, naming the state and the states from which the event is allowed. */
export function nextState<State extends string, Event extends string>(
  machine: Machine<State, Event>,
  state: State,
  event: Event,
): State {
  const next = machine.rules[state].on[event];
  if (next === undefined) {
    const allowed = statesAllowing(machine, event).join(', ');
    throw new ServiceError(
      'wrong-state',
      `Cannot ${event} ${machine.noun} that is ${state}; allowed when it is: ${allowed}.`,
    );
  }
  return next;
}

export function statesAllowing<State extends string, Event extends string>(
  machine: Machine<State, Event>,
  event: Event,
): State[] {
  return statesOf(machine).filter((state) => machine.rules[state].on[event] !== undefined);
}

export function statesOf<State extends string, Event extends string>(
  machine: Machine<State, Event>,
): State[] {
  return Object.keys(machine.rules) as State[];
}

export function unsettledStates<State extends string, Event extends string>(
  machine: Machine<State, Event>,
): State[] {
  return statesOf(machine).filter((state) => !machine.rules[state].settled);
}
