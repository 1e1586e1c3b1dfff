/** Who signs in and for what: the bodies of POST /v3/auth/tokens. */

/** By id, or by a name within a domain. */
export type Named =
  | { readonly id: string }
  | { readonly name: string; readonly domain: DomainName };

export type DomainName = { readonly id: string } | { readonly name: string };

export type Scope =
  | { readonly kind: 'project'; readonly project: Named }
  | { readonly kind: 'domain'; readonly domain: DomainName }
  | { readonly kind: 'system' };

export type Credentials =
  | {
      readonly kind: 'password';
      readonly user: Named;
      readonly password: string;
      readonly scope: Scope;
    }
  | {
      readonly kind: 'application_credential';
      /** A name needs its user. */
      readonly credential:
        | { readonly id: string }
        | { readonly name: string; readonly user: Named };
      readonly secret: string;
    };

/** @see https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management */
export function signInBody(credentials: Credentials): object {
  if (credentials.kind === 'application_credential') {
    const { credential, secret } = credentials;
    return {
      auth: {
        identity: {
          methods: ['application_credential'],
          application_credential: { ...credential, secret },
        },
      },
    };
  }
  const { user, password, scope } = credentials;
  return {
    auth: {
      identity: { methods: ['password'], password: { user: { ...user, password } } },
      scope: scopeBody(scope),
    },
  };
}

function scopeBody(scope: Scope): object {
  switch (scope.kind) {
    case 'project':
      return { project: scope.project };
    case 'domain':
      return { domain: scope.domain };
    case 'system':
      return { system: { all: true } };
    default:
      return scope;
  }
}

/** For messages: never the secret. */
export function describeCredentials(credentials: Credentials): string {
  if (credentials.kind === 'application_credential') {
    return `application credential ${describe(credentials.credential)}`;
  }
  const { user, scope } = credentials;
  const where = scope.kind === 'project' ? ` in project ${describe(scope.project)}` : '';
  return `user ${describe(user)}${where}`;
}

function describe(named: { readonly id: string } | { readonly name: string }): string {
  return 'id' in named ? named.id : JSON.stringify(named.name);
}
