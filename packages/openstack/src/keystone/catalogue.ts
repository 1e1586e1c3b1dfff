/** Where services are, as the token of whoever asks lists them. */
import { OpenStackError } from '../errors.ts';
import { asList, asObject, asText, textOrNull } from '../reader.ts';

export type Interface = 'public' | 'internal' | 'admin';
export const interfaces: readonly Interface[] = ['public', 'internal', 'admin'];

export interface CatalogueService {
  readonly type: string;
  readonly endpoints: readonly CatalogueEndpoint[];
}

export interface CatalogueEndpoint {
  readonly interface: string;
  readonly region: string | null;
  readonly url: string;
}

/** @throws {ShapeError} */
export function parseCatalogue(value: unknown): CatalogueService[] {
  return asList(value, 'token.catalog').map((item, at) => {
    const place = `token.catalog[${at}]`;
    const service = asObject(item, place);
    return {
      type: asText(service['type'], `${place}.type`),
      endpoints: asList(service['endpoints'] ?? [], `${place}.endpoints`).map((each, index) => {
        const endpoint = asObject(each, `${place}.endpoints[${index}]`);
        return {
          interface: asText(endpoint['interface'], `${place}.endpoints[${index}].interface`),
          region: textOrNull(endpoint['region_id'] ?? endpoint['region'], `${place}.region`),
          url: asText(endpoint['url'], `${place}.endpoints[${index}].url`),
        };
      }),
    };
  });
}

export interface EndpointChoice {
  readonly type: string;
  readonly interface: Interface;
  /** Undefined: the catalogue must have it in one region only. */
  readonly region: string | undefined;
}

/** @throws {OpenStackError} `no-endpoint`, which says what is there instead. */
export function findEndpoint(
  catalogue: readonly CatalogueService[],
  { type, interface: face, region }: EndpointChoice,
): URL {
  const endpoints = catalogue
    .filter((each) => each.type === type)
    .flatMap((each) => each.endpoints);
  if (endpoints.length === 0) {
    const known = catalogue.map((each) => each.type).toSorted();
    throw noEndpoint(
      `The catalogue has no service of type ${type}; it has ${known.join(', ') || 'none'}. ` +
        `Add it in Keystone: openstack endpoint create … ${type} ${face} URL.`,
    );
  }
  const ofFace = endpoints.filter((each) => each.interface === face);
  if (ofFace.length === 0) {
    throw noEndpoint(
      `The catalogue has no ${face} endpoint of ${type}; it has ${listOf(endpoints.map((each) => each.interface))}.`,
    );
  }
  const fitting = ofFace.filter((each) => region === undefined || each.region === region);
  const regions = listOf(ofFace.map((each) => each.region ?? '(no region)'));
  const [endpoint] = fitting;
  if (endpoint === undefined) {
    throw noEndpoint(`The catalogue has no ${type} in region ${region}; it has it in ${regions}.`);
  }
  if (new Set(fitting.map((each) => each.url)).size > 1) {
    throw noEndpoint(`The catalogue has ${type} in several regions: name one of ${regions}.`);
  }
  if (!URL.canParse(endpoint.url)) {
    throw noEndpoint(`The catalogue's ${face} endpoint of ${type} is no URL: ${endpoint.url}.`);
  }
  return new URL(endpoint.url);
}

function listOf(names: readonly string[]): string {
  return [...new Set(names)].toSorted().join(', ');
}

function noEndpoint(message: string): OpenStackError {
  return new OpenStackError(message, { failure: 'no-endpoint' });
}
