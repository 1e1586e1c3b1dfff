import type { DriverResult } from '@cyborg/driver-sdk/protocol';

/** What a person must do before the backend works; undefined: nothing. */
export function toNeeded(answer: DriverResult<'install'>): string | undefined {
  if (answer.status === 'ready') return undefined;
  if (answer.status === 'reboot_required') return `the host must be restarted: ${answer.why}`;
  return answer.steps.join('; ');
}
