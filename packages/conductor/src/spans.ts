/** What the conductor calls its spans; docs/reference/request-flow.md shows where they are. */
export const conductorSpans = {
  act: 'conductor.act',
  dispatch: 'conductor.dispatch',
  rollOut: 'conductor.roll-out',
  advance: 'conductor.advance-operation',
  outcome: 'conductor.outcome',
  installation: 'conductor.installation-report',
  inventory: 'conductor.inventory',
} as const;

/** One pass of a reconciler that found work. */
export function passSpan(reconciler: string): string {
  return `reconciler.${reconciler}`;
}
