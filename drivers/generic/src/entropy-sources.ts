/** Host files that may feed a guest's random number generator; the agent plugs no other. */
export const entropySources = ['/dev/hwrng', '/dev/urandom', '/dev/random'] as const;
