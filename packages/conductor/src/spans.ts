/** What the conductor calls its spans; docs/reference/request-flow.md shows where they are. */
export const conductorSpans = {
  act: 'conductor.act',
  dispatch: 'conductor.dispatch',
  rollOut: 'conductor.roll-out',
  advance: 'conductor.advance-operation',
  outcome: 'conductor.outcome',
  /** Nova is told that requests are bound. */
  tellNova: 'conductor.tell-nova',
  /** What an attachment holds in Placement. */
  allocations: { make: 'conductor.make-allocations', remove: 'conductor.remove-allocations' },
} as const;

/** One pass of a reconciler that found work. */
export function passSpan(reconciler: string): string {
  return `reconciler.${reconciler}`;
}
