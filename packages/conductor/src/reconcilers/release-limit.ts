/** Promise 11: one bad answer moves little. What a pass may release, as a function of what is seen. */

export interface Candidate {
  readonly host_id: string;
  readonly attachment_id: string;
  /** Equal for what goes only together; null or absent: it goes by itself. */
  readonly unit?: string | null;
}

export interface HostCount {
  readonly live: number;
  /** By this rule, within the window. */
  readonly released: number;
}

export interface ReleaseLimits {
  readonly releaseShareMax: number;
}

export interface ReleasePlan<Item> {
  readonly release: readonly Item[];
  /** Hosts of which more is missing at once than may be released: a person decides. */
  readonly stopped: readonly string[];
}

export interface Seen<Item> {
  readonly candidates: readonly Item[];
  readonly counts: ReadonlyMap<string, HostCount>;
  /** Hosts that wait for a person already. */
  readonly stopped: ReadonlySet<string>;
}

/**
 * Of each host, and of the fleet, at most the larger of one and the share. A host (or a fleet) of which more than that
 * is missing at once is stopped: the rest waits for a person. What only exceeds the window waits for the window.
 */
export function planReleases<Item extends Candidate>(
  { candidates, counts, stopped }: Seen<Item>,
  limits: ReleaseLimits,
): ReleasePlan<Item> {
  const most = ({ live, released }: HostCount): number =>
    Math.max(1, Math.floor((live + released) * limits.releaseShareMax));
  const fleet = sum([...counts.values()]);
  const open = candidates.filter((item) => !stopped.has(item.host_id));
  const isFleetStopped = open.length > most(fleet);
  let fleetLeft = most(fleet) - fleet.released;
  const release: Item[] = [];
  const nowStopped: string[] = [];
  for (const [hostId, items] of Map.groupBy(open, (item) => item.host_id)) {
    const count = counts.get(hostId) ?? { live: 0, released: 0 };
    const taken = takeWhole(items, Math.min(most(count) - count.released, fleetLeft));
    fleetLeft -= taken.length;
    release.push(...taken);
    const isOver = items.length > most(count) || isFleetStopped;
    if (isOver && taken.length < items.length) nowStopped.push(hostId);
  }
  return { release, stopped: nowStopped };
}

/** In their order, as many as there is room for. */
function takeWhole<Item extends Candidate>(items: readonly Item[], room: number): Item[] {
  const units = Map.groupBy(items, ({ unit, attachment_id: id }) => unit ?? id);
  const taken: Item[] = [];
  for (const unit of units.values()) {
    if (taken.length + unit.length <= room) taken.push(...unit);
  }
  return taken;
}

function sum(counts: readonly HostCount[]): HostCount {
  return counts.reduce(
    (total, { live, released }) => ({
      live: total.live + live,
      released: total.released + released,
    }),
    { live: 0, released: 0 },
  );
}
