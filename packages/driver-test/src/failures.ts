/** What a trial ends with when it does not pass. */
import type { ClauseId } from './clauses.ts';

/** A clause is broken: the trial's own, or `clause` where another one is to blame. */
export class Broken extends Error {
  override readonly name = 'Broken';
  readonly clause: ClauseId | undefined;

  constructor(message: string, clause?: ClauseId) {
    super(message);
    this.clause = clause;
  }
}

/** The clause says nothing about this driver, or nothing was there to try it on. */
export class Untested extends Error {
  override readonly name = 'Untested';
}

/** The process has ended, or gave no answer and was killed. */
export class Ended extends Broken {}

/** @throws Broken */
export function demand(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Broken(message());
}
