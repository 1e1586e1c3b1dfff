/** docs/reference/configuration.md, from the option schemas. `node apps/server/src/configuration-docs.ts` writes it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { optionsMarkdown } from '@cyborg/service/option-help';

import { serverProgram } from './options.ts';

export const configurationFile = join(
  import.meta.dirname,
  '../../../docs/reference/configuration.md',
);

/** Without what the machine decides: the documentation is the same wherever it is made. */
function portable(text: string): string {
  const { default: name } = serverProgram.options.replicaName;
  return text.replace(`\`${name}\``, "the machine's host name");
}

export function configurationMarkdown(): string {
  return `# Configuration of cyborg-server

<!-- Generated from apps/server/src/options.ts by apps/server/src/configuration-docs.ts; a test compares. -->

Every option is a flag, an environment variable and a key of a YAML file (\`--config FILE\` or \`CYBORG_SERVER_CONFIG\`). A
flag goes before a variable, a variable before the file, the file before the default. A wrong value stops the start
with exit status 2 and a sentence that names the option, where the value came from and what is allowed.

Durations are written \`30\`, \`30s\`, \`5m\`, \`2h\`, \`1d\` or \`250ms\`. A list is given by repeating the flag, by commas in
the variable, as a list in the file.

${portable(optionsMarkdown(serverProgram))}
\`npm start\` takes the same options but for \`--role\`, \`--auth\` and \`--users-file\`, which it decides itself, and
\`--demo\`, which adds three simulated hosts.

## Listening

The server listens on loopback unless told otherwise. Any other address needs TLS (\`--tls-cert\` and \`--tls-key\`, or
\`--behind-tls-proxy\` when a proxy in front ends it) and authentication (\`--auth http_basic\` or \`keystone\`). Behind a proxy, the last
entry of \`X-Forwarded-For\` is taken for the client, and links in answers begin with its \`X-Forwarded-Proto\` and
\`X-Forwarded-Host\`; a proxy that does not set them, or serves the API under a path, needs \`--public-url\` (upstream's
\`[api] public_endpoint\`).

\`/healthz\`, \`/readyz\`, \`/metrics\`, \`/\` and the API's description need no authentication.

## Users

With \`--auth http_basic\` users are in a YAML file of mode 0600, which is read again when it changes:

\`\`\`yaml
users:
  - name: alice
    password_hash: $scrypt$…   # or bcrypt: $2b$…, $2y$…, as htpasswd writes it
    roles: [manager]           # admin, manager, member, reader, service
    project_id: demo
    project_name: Demo         # default: the id
\`\`\`

\`cyborg-server user-set NAME --role ROLE --project ID\` adds or changes a user; the password is made up and printed, or
read from standard input with \`--password-stdin\`.

## The console

The server serves the console at \`/console/\`; \`npm start\` and \`npm test\` build it where its sources are newer.

With \`--auth http_basic\` people sign in with a user of the users file, with \`--auth keystone\` with name, password,
project and domain, which the server passes to Keystone and forgets. The browser then has a session: a cookie that
scripts cannot read (\`HttpOnly\`), that goes with no request of another site (\`SameSite=Strict\`) and, over TLS, with
none that is not encrypted (\`Secure\`, \`__Host-\`). It holds who it is (a user's name with a fingerprint of the password
hash, or Keystone's token), sealed with AES-256-GCM under a key that the ledger keeps, so that any replica knows it
and no password is in it. It ends when the browser is closed, when its user signs out, after \`--console-idle\` without
use, after 12 hours, and when the user is removed or gets another password, or Keystone ends the token. Signing out
has the browser forget the cookie; who stole it before can use it until one of the other ends. A request by cookie
changes something only with the header \`X-Cyborg-Console\`, which pages of other sites cannot send. The page itself
stores nothing.

## Keystone, and the rest of OpenStack

With \`--keystone-url\` the server signs in as \`--keystone-user\` (or with an application credential) and finds Placement,
Nova and Glance in the catalogue; \`--placement off\` and \`--nova off\` leave them alone. The secret is a file of mode 0600
or an environment variable, never a flag.

With \`--auth keystone\` callers send \`X-Auth-Token\`, services \`X-Service-Token\` besides. Only tokens of a project are
served; the roles admin, manager, member, reader and service mean the same as in a users file, and others nothing (a
policy file may name them for v2). A valid token is believed for \`--keystone-token-cache\` (60 s at most), so that a
revoked one works for so long at most; one that Keystone does not know is not asked for again for 10 s. A service token
that is invalid or has none of \`--service-token-roles\` is refused (401); with a valid one, the user's token may have
expired lately.

While Keystone is away, tokens that were validated within that time are served, others get 503 and not 401.
\`/readyz\` then says so in a note and stays ready: agents are served without Keystone, and a balancer that turned away
from every replica would only make the outage larger.

## After restoring a database

\`cyborg-server new-incarnation\`, with the servers stopped, before the first start: orders to come are then newer than
any that a host has seen, and agents refuse those of the lost time.
`;
}

if (import.meta.main) writeFileSync(configurationFile, configurationMarkdown());
