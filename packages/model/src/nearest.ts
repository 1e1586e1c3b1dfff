/** Names that exist and are near one that does not, for "did you mean"; nearest first, none when nothing is like it. */
export function nearest(wanted: string, names: readonly string[], most = 3): string[] {
  const lower = wanted.toLowerCase();
  return names
    .map((name) => ({ name, distance: distanceTo(lower, name.toLowerCase()) }))
    .filter(({ distance }) => Number.isFinite(distance))
    .toSorted((a, b) => a.distance - b.distance || a.name.localeCompare(b.name))
    .slice(0, most)
    .map(({ name }) => name);
}

/** The end of "There is no …;": what is near, else some of what there is, else the given words. */
export function nearestHint(wanted: string, names: readonly string[], none: string): string {
  const near = nearest(wanted, names);
  if (near.length > 0) return `the nearest: ${near.join(', ')}`;
  const some = names.toSorted().slice(0, shownMax);
  const more = names.length > some.length ? ', …' : '';
  return some.length === 0 ? none : `there is ${some.join(', ')}${more}`;
}

const shownMax = 3;
/** A name is near when no more than this share of its letters differs, or one letter of a short one. */
const differingShareMax = 0.4;
/** Shorter ones are in too many names. */
const containedLettersMin = 3;

/** Infinity when it is not near. */
function distanceTo(wanted: string, name: string): number {
  const [short, long] = wanted.length < name.length ? [wanted, name] : [name, wanted];
  const distance = editDistance(wanted, name);
  const isContained = short.length >= containedLettersMin && long.includes(short);
  const most = Math.max(1, Math.floor(long.length * differingShareMax));
  return isContained || distance <= most ? distance : Number.POSITIVE_INFINITY;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
