/** Tells the server that its user is still there: after use, and at most once in a while. */
import { useEffect } from 'react';

const signs = ['pointerdown', 'keydown', 'wheel', 'touchstart'] as const;

export function useKeepAlive(idleSeconds: number | null, renew: () => Promise<void>): void {
  useEffect(() => {
    if (idleSeconds === null) return undefined;
    const everyMs = Math.min(60_000, (idleSeconds * 1000) / 4);
    let renewedAtMs = performance.now();
    const onUse = (): void => {
      if (performance.now() - renewedAtMs < everyMs) return;
      renewedAtMs = performance.now();
      // A session that is over is noticed by the transport; a lost connection by the live badge.
      renew().catch(() => {});
    };
    for (const sign of signs) addEventListener(sign, onUse, { passive: true, capture: true });
    return () => {
      for (const sign of signs) removeEventListener(sign, onUse, { capture: true });
    };
  }, [idleSeconds, renew]);
}
