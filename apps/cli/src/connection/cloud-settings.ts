/** What OS_* variables and a cloud of clouds.yaml say, under one set of names. */

export interface CloudSettings {
  /** What is quoted in messages: `OS_*`, or the file and cloud. */
  readonly origin: string;
  /** How a setting is written there: `OS_PASSWORD`, or `auth.password`. */
  readonly nameOf: (setting: SettingName) => string;
  readonly values: Readonly<Partial<Record<SettingName, string>>>;
}

/** Setting → its variables, and its places in a cloud; the first that is given counts. */
const places = {
  authType: { env: ['OS_AUTH_TYPE'], cloud: ['auth_type'] },
  authUrl: { env: ['OS_AUTH_URL'], cloud: ['auth.auth_url'] },
  endpoint: {
    env: ['OS_ENDPOINT', 'OS_ACCELERATOR_ENDPOINT_OVERRIDE'],
    cloud: ['accelerator_endpoint_override', 'auth.endpoint'],
  },
  username: { env: ['OS_USERNAME'], cloud: ['auth.username', 'auth.user_name'] },
  userId: { env: ['OS_USER_ID'], cloud: ['auth.user_id'] },
  password: { env: ['OS_PASSWORD'], cloud: ['auth.password'] },
  userDomainName: { env: ['OS_USER_DOMAIN_NAME'], cloud: ['auth.user_domain_name'] },
  userDomainId: { env: ['OS_USER_DOMAIN_ID'], cloud: ['auth.user_domain_id'] },
  projectName: {
    env: ['OS_PROJECT_NAME', 'OS_TENANT_NAME'],
    cloud: ['auth.project_name', 'auth.tenant_name'],
  },
  projectId: {
    env: ['OS_PROJECT_ID', 'OS_TENANT_ID'],
    cloud: ['auth.project_id', 'auth.tenant_id'],
  },
  projectDomainName: { env: ['OS_PROJECT_DOMAIN_NAME'], cloud: ['auth.project_domain_name'] },
  projectDomainId: { env: ['OS_PROJECT_DOMAIN_ID'], cloud: ['auth.project_domain_id'] },
  defaultDomainName: {
    env: ['OS_DEFAULT_DOMAIN_NAME', 'OS_DEFAULT_DOMAIN'],
    cloud: ['auth.default_domain_name', 'auth.default_domain'],
  },
  defaultDomainId: { env: ['OS_DEFAULT_DOMAIN_ID'], cloud: ['auth.default_domain_id'] },
  credentialId: {
    env: ['OS_APPLICATION_CREDENTIAL_ID'],
    cloud: ['auth.application_credential_id'],
  },
  credentialName: {
    env: ['OS_APPLICATION_CREDENTIAL_NAME'],
    cloud: ['auth.application_credential_name'],
  },
  credentialSecret: {
    env: ['OS_APPLICATION_CREDENTIAL_SECRET'],
    cloud: ['auth.application_credential_secret'],
  },
  systemScope: { env: ['OS_SYSTEM_SCOPE'], cloud: ['auth.system_scope'] },
  region: { env: ['OS_REGION_NAME'], cloud: ['region_name'] },
  interface: {
    env: ['OS_INTERFACE', 'OS_ENDPOINT_TYPE'],
    cloud: ['accelerator_interface', 'interface', 'endpoint_type'],
  },
  caFile: { env: ['OS_CACERT'], cloud: ['cacert'] },
  verify: { env: [], cloud: ['verify'] },
} as const satisfies Record<string, { env: readonly string[]; cloud: readonly string[] }>;

export type SettingName = keyof typeof places;

export function settingsOfEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): CloudSettings {
  return {
    origin: 'OS_*',
    nameOf: (setting) => places[setting].env[0] ?? setting,
    values: collect('env', (variable) => env[variable]),
  };
}

/** @param cloud  parsed YAML. */
export function settingsOfCloud(
  origin: string,
  cloud: Readonly<Record<string, unknown>>,
): CloudSettings {
  return {
    origin,
    nameOf: (setting) => places[setting].cloud[0],
    values: collect('cloud', (path) => textAt(cloud, path)),
  };
}

function collect(
  kind: 'env' | 'cloud',
  read: (place: string) => string | undefined,
): CloudSettings['values'] {
  return Object.fromEntries(
    Object.entries(places).flatMap(([setting, place]) => {
      const value = place[kind].map(read).find((text) => text !== undefined && text !== '');
      return value === undefined ? [] : [[setting, value]];
    }),
  );
}

/** YAML may have made a number of a password, or a truth value of `verify`. */
function textAt(cloud: Readonly<Record<string, unknown>>, path: string): string | undefined {
  let value: unknown = cloud;
  for (const key of path.split('.')) {
    value = isRecord(value) ? value[key] : undefined;
  }
  const isPlain = typeof value === 'string' || typeof value === 'number';
  return isPlain || typeof value === 'boolean' ? String(value) : undefined;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
