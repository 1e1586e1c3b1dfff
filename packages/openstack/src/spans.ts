/** What calls of other services are called in traces: `nova POST`; the path has ids and is an attribute. */
export function callSpan({ service, method }: { service: string; method: string }): string {
  return `${service.toLowerCase()} ${method}`;
}
