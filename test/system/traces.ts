/** Spans that the programs of a fleet wrote, as trees. */
import { existsSync, readFileSync } from 'node:fs';

export interface SpanLine {
  readonly trace_id: string;
  readonly span_id: string;
  readonly parent_id: string | null;
  readonly name: string;
  readonly service: string;
  readonly started_at: string;
  readonly duration_ms: number;
  readonly failed: string | null;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** Others that it was done for as well. */
  readonly links: readonly { readonly trace_id: string; readonly span_id: string }[];
}

/** A span with those that it led to; the same again under the same parent is one. */
export interface SpanTree {
  readonly service: string;
  readonly name: string;
  readonly children: readonly SpanTree[];
}

export function readSpans(files: readonly string[]): SpanLine[] {
  return files.filter(existsSync).flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line): SpanLine => JSON.parse(line)),
  );
}

/** The trace that holds the request with this id. */
export function traceOf(spans: readonly SpanLine[], requestId: string): SpanLine[] {
  const root = spans.find(({ attributes }) => attributes['cyborg.request_id'] === requestId);
  return spans.filter(({ trace_id }) => trace_id === root?.trace_id);
}

/** Those whose parent is not there are at the top. */
export function treesOf(spans: readonly SpanLine[]): SpanTree[] {
  const ids = new Set(spans.map(({ span_id }) => span_id));
  const tops = spans.filter(({ parent_id }) => parent_id === null || !ids.has(parent_id));
  return merge(tops, spans);
}

function merge(siblings: readonly SpanLine[], all: readonly SpanLine[]): SpanTree[] {
  const inOrder = siblings.toSorted((a, b) => (a.started_at < b.started_at ? -1 : 1));
  const named = Map.groupBy(inOrder, ({ service, name }) => `${service} ${name}`);
  return [...named.values()].flatMap((same) => {
    const [first] = same;
    if (first === undefined) return [];
    const ids = new Set(same.map(({ span_id }) => span_id));
    const below = all.filter((span) => causesOf(span).some((id) => ids.has(id)));
    return [{ service: first.service, name: first.name, children: merge(below, all) }];
  });
}

/** A report that tells of several steps is a part of the first and linked with the others: it is below each. */
function causesOf({ parent_id, links }: SpanLine): string[] {
  return [...(parent_id === null ? [] : [parent_id]), ...links.map(({ span_id }) => span_id)];
}

/** Reports and inventories are sent beside what goes on. */
const beside: ReadonlySet<string> = new Set(['agent.report', 'agent.inventory']);

/** Of several processes nobody can say which was first by a millisecond: each one's own order stays. */
export function inOrderOfEach(trees: readonly SpanTree[]): SpanTree[] {
  return trees
    .toSorted(
      (a, b) =>
        a.service.localeCompare(b.service) ||
        Number(beside.has(a.name)) - Number(beside.has(b.name)) ||
        (beside.has(a.name) ? a.name.localeCompare(b.name) : 0),
    )
    .map((tree) => ({ ...tree, children: inOrderOfEach(tree.children) }));
}

/** A line each, indented by its depth: `- cyborg-server POST /v3/discoveries`. */
export function toLines(trees: readonly SpanTree[], depth = 0): string[] {
  return trees.flatMap(({ service, name, children }) => [
    `${'  '.repeat(depth)}- ${service} ${name}`,
    ...toLines(children, depth + 1),
  ]);
}
