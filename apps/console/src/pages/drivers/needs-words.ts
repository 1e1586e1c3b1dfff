/** What a driver's manifest says that a host must have, in words. */
type Needs = Readonly<Record<string, unknown>>;

export function needsInWords(...all: readonly (Needs | undefined)[]): string[] {
  const entries = all.flatMap((needs) => Object.entries(needs ?? {}));
  return entries.flatMap(([name, value]) => wordsOf[name]?.(value) ?? other(name, value));
}

const wordsOf: Readonly<Record<string, (value: unknown) => string[]>> = {
  modules: (value) => listed('kernel module', texts(value)),
  packages: (value) =>
    Object.entries(isObject(value) ? value : {}).flatMap(([system, names]) =>
      listed(`${system} package`, texts(names)),
    ),
  hugepages: (value) =>
    items(value).map((one) =>
      isObject(one)
        ? `${String(one['count'])} huge pages of ${String(one['size_kib'])} KiB`
        : JSON.stringify(one),
    ),
  kernel_arguments: (value) => items(value).map((one) => `kernel argument ${oneOf(one)}`),
};

function other(name: string, value: unknown): string[] {
  return [`${name} ${JSON.stringify(value)}`];
}

function listed(what: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${what}${names.length > 1 ? 's' : ''} ${names.join(', ')}`];
}

/** A list is one of which one is enough. */
function oneOf(value: unknown): string {
  return texts(Array.isArray(value) ? value : [value]).join(' or ');
}

function items(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function texts(value: unknown): string[] {
  return items(value).map((item) => (typeof item === 'string' ? item : JSON.stringify(item)));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
