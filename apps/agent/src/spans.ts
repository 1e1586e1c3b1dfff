/** What the agent calls its spans; docs/reference/request-flow.md shows where they are. */
export const agentSpans = {
  /** From the order's arrival to its outcome, its retries included. */
  attach: 'agent.attach',
  detach: 'agent.detach',
  clean: 'agent.clean',
  update: 'agent.update',
  /** One look at a driver that is not what it should be: version, backends, inventories. */
  installation: 'agent.installation',
  inventory: 'agent.inventory',
  report: 'agent.report',
} as const;

export function driverSpan(method: string): string {
  return `driver.${method}`;
}

export function hypervisorSpan(act: 'plug' | 'unplug'): string {
  return `hypervisor.${act}`;
}
