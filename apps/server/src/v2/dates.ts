/** `2026-11-22T05:21:20+00:00`: whole seconds. */
export function toV2Date(instant: Date): string;
export function toV2Date(instant: Date | null): string | null;
export function toV2Date(instant: Date | null): string | null {
  return instant === null ? null : `${instant.toISOString().slice(0, 19)}+00:00`;
}
