/** Kind of the condition of a host that has blocked backends. */
export const setupRequired = 'setup-required';
