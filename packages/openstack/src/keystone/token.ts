/** A token as Keystone describes it. */
import { asList, asObject, asText, isObject, ShapeError, textOrNull } from '../reader.ts';
import type { JsonObject } from '../reader.ts';
import { parseCatalogue } from './catalogue.ts';
import type { CatalogueService } from './catalogue.ts';

export interface Token {
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly user: { readonly id: string; readonly name: string };
  /** Undefined for a token of a domain, of the system, or of nothing. */
  readonly project: { readonly id: string; readonly name: string } | undefined;
  readonly scope: 'project' | 'domain' | 'system' | 'none';
  /** Names as Keystone has them, implied ones included. */
  readonly roles: readonly string[];
  readonly catalogue: readonly CatalogueService[];
}

/** @throws {ShapeError} */
export function parseToken(body: unknown): Token {
  const token = asObject(asObject(body, 'the answer')['token'], 'token');
  const project = isObject(token['project'])
    ? toNamed(token['project'], 'token.project')
    : undefined;
  return {
    issuedAt: toDate(token['issued_at'], 'token.issued_at'),
    expiresAt: toDate(token['expires_at'], 'token.expires_at'),
    user: toNamed(asObject(token['user'], 'token.user'), 'token.user'),
    project,
    scope: scopeOf(token),
    roles: rolesOf(token['roles']),
    catalogue: parseCatalogue(token['catalog'] ?? []),
  };
}

function scopeOf(token: JsonObject): Token['scope'] {
  if (isObject(token['project'])) return 'project';
  if (isObject(token['system'])) return 'system';
  return isObject(token['domain']) ? 'domain' : 'none';
}

/** An unscoped token has none. */
function rolesOf(value: unknown): string[] {
  if (value === undefined) return [];
  return asList(value, 'token.roles').map((role, at) =>
    asText(asObject(role, `token.roles[${at}]`)['name'], `token.roles[${at}].name`),
  );
}

function toNamed(value: JsonObject, place: string): { id: string; name: string } {
  const id = asText(value['id'], `${place}.id`);
  return { id, name: textOrNull(value['name'], `${place}.name`) ?? id };
}

function toDate(value: unknown, place: string): Date {
  const date = new Date(asText(value, place));
  if (Number.isNaN(date.getTime())) throw new ShapeError(`${place} is no date`);
  return date;
}
