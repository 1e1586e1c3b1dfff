/** v2's microversions: which one a request's `OpenStack-API-Version` asks for. WIRE: the API-WG's header. */
export const v2Versions = { min: 0, max: 3 } as const;

export type Negotiated =
  | { readonly kind: 'version'; readonly minor: number }
  /** Its numbers are fine, but not ours. */
  | { readonly kind: 'unsupported'; readonly message: string }
  | { readonly kind: 'malformed'; readonly message: string };

const range = `The supported version range is: [2.${v2Versions.min}, 2.${v2Versions.max}].`;
const malformed: Negotiated = {
  kind: 'malformed',
  message: 'Invalid value for OpenStack-API-Version header',
};

/** @param header  undefined when the request has none: the oldest version. */
export function negotiate(header: string | undefined): Negotiated {
  if (header === undefined) return { kind: 'version', minor: v2Versions.min };
  const asked = ourPart(header);
  if (asked === 'none of ours') return { kind: 'version', minor: v2Versions.min };
  if (asked.toLowerCase() === 'latest') return { kind: 'version', minor: v2Versions.max };
  const [, major, minor] = /^(\d{1,9})\.(\d{1,9})$/.exec(asked) ?? [];
  if (major === undefined || minor === undefined) return malformed;
  return judge(Number(major), Number(minor));
}

function judge(major: number, minor: number): Negotiated {
  const asked = `${major}.${minor}`;
  if (major !== 2) {
    const message = `Mutually exclusive versions requested. Version ${asked} requested but not supported by this service. ${range}`;
    return { kind: 'unsupported', message };
  }
  if (minor < v2Versions.min || minor > v2Versions.max) {
    const message = `Version ${asked} was requested but the minor version is not supported by this service. ${range}`;
    return { kind: 'unsupported', message };
  }
  return { kind: 'version', minor };
}

/** Several services share the header: `compute 2.90, accelerator 2.2`. Without a service's name it is ours alone. */
function ourPart(header: string): string {
  const parts = header.split(',').map((part) => part.trim());
  const ours = parts.filter((part) => /^accelerator(\s|$)/i.test(part)).at(-1);
  if (ours !== undefined) return ours.replace(/^accelerator\s*/i, '');
  const areOthers = parts.every((part) => /^[a-z][a-z-]*\s+\S/i.test(part));
  return areOthers ? 'none of ours' : header.trim();
}
