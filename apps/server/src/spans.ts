/** What this process calls its spans; docs/reference/request-flow.md shows where they are. */

/** By the route and not by the path, so that the same act has the same name. */
export function requestSpan(method: string, route: string | undefined): string {
  return `${method} ${route ?? '(no such route)'}`;
}
