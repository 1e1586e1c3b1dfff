/** HTTP Basic against the users file, as stand-alone OpenStack services do. */
import { createHash, createHmac } from 'node:crypto';

import type { Caller } from '@cyborg/model/caller';
import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';
import type { Rng } from '@cyborg/service/rng';

import type { Authenticator, SignIns } from './authenticator.ts';
import { makeFailedLogins } from './failed-logins.ts';
import { hashPassword, verifyPassword } from './password.ts';
import { readUsersFile, versionOf } from './users-file.ts';
import type { User, Users } from './users-file.ts';

export const basicLimits = {
  /** A verified password is not computed again for so long. */
  verifiedSeconds: 60,
  verifiedMax: 1024,
  /** The file is looked at again at most this often. */
  fileCheckMs: 1000,
  headerCharsMax: 2048,
} as const;

export interface HttpBasicOptions {
  readonly usersFile: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

interface Credentials {
  readonly name: string;
  readonly password: string;
}

/** @throws {UsersFileError} when the file cannot be used. */
export async function openHttpBasic(options: HttpBasicOptions): Promise<Authenticator> {
  const file = await openUsers(options);
  const failures = makeFailedLogins(options.clock);
  const verified = makeVerified(options);
  const decoy = await hashPassword(options.rng.bytes(16).toString('hex'), options.rng);

  const verify = async (given: Credentials, address: string): Promise<Caller | undefined> => {
    const users = await file.current();
    const user = users.byName.get(given.name);
    failures.check(address, given.name);
    // Counted before the costly part, so that many guesses at once do not all get through.
    failures.count(address, given.name);
    const isRight = await verifyPassword(given.password, user?.passwordHash ?? decoy);
    if (!isRight || user === undefined) return undefined;
    failures.forgive(address, given.name);
    return user.caller;
  };
  return {
    challenge: 'Basic realm="cyborg", charset="UTF-8"',
    advice: 'Send the name and password of a user of the users file by HTTP Basic.',
    async authenticate({ headers, address }) {
      const given = parseBasic(headers.authorization);
      if (given === undefined) return undefined;
      const { version } = await file.current();
      return verified.get(given, version, () => verify(given, address));
    },
    signIns: makeSignIns(file, (words, address) =>
      verify({ name: words.user, password: words.password }, address),
    ),
  };
}

interface UsersSource {
  current(): Promise<Users>;
}

/** A ticket names the user and the password hash of the day: a new password ends the sessions of the old one. */
function makeSignIns(
  file: UsersSource,
  verify: (
    words: { user: string; password: string },
    address: string,
  ) => Promise<Caller | undefined>,
): SignIns {
  return {
    kind: 'http_basic',
    async begin(words, address) {
      const caller = await verify(words, address);
      const user = (await file.current()).byName.get(words.user);
      return caller === undefined || user === undefined
        ? undefined
        : { caller, ticket: ticketOf(words.user, user) };
    },
    async resume(ticket) {
      const name = ticket.slice(ticket.indexOf(' ') + 1);
      const user = (await file.current()).byName.get(name);
      return user !== undefined && ticketOf(name, user) === ticket ? user.caller : undefined;
    },
  };
}

function ticketOf(name: string, { passwordHash }: User): string {
  return `${createHash('sha256').update(passwordHash).digest('base64url')} ${name}`;
}

/** What was verified lately, under a key from which nobody can read the password. */
function makeVerified({ clock, rng }: HttpBasicOptions): {
  get(
    given: Credentials,
    version: string,
    verify: () => Promise<Caller | undefined>,
  ): Promise<Caller | undefined>;
} {
  interface Entry {
    readonly caller: Promise<Caller | undefined>;
    readonly expiresAtMs: number;
  }
  const secret = rng.bytes(32);
  const entries = new Map<string, Entry>();
  const forget = (key: string, entry: Entry): void => {
    if (entries.get(key) === entry) entries.delete(key);
  };
  return {
    get(given, version, verify) {
      const key = createHmac('sha256', secret)
        .update(JSON.stringify([version, given.name, given.password]))
        .digest('base64');
      const known = entries.get(key);
      if (known !== undefined && known.expiresAtMs > clock.monotonicMs()) return known.caller;
      const caller = verify();
      const entry = {
        caller,
        expiresAtMs: clock.monotonicMs() + basicLimits.verifiedSeconds * 1000,
      };
      entries.set(key, entry);
      if (entries.size > basicLimits.verifiedMax) entries.delete(entries.keys().next().value ?? '');
      // Requests that come together share one computation; only a success is remembered after it.
      caller.then(
        (found) => found ?? forget(key, entry),
        () => forget(key, entry),
      );
      return caller;
    },
  };
}

async function openUsers({ usersFile, clock, log }: HttpBasicOptions): Promise<UsersSource> {
  let users = await readUsersFile(usersFile);
  let checkedAtMs = clock.monotonicMs();
  let refusedVersion = '';
  const reload = async (): Promise<void> => {
    let version = 'missing';
    try {
      version = await versionOf(usersFile);
      if (version === users.version) return;
      users = await readUsersFile(usersFile);
      log.info({ usersFile, users: users.byName.size }, 'read the users file again');
    } catch (error) {
      // Whoever edits it should not lock everybody out half-way: the last good users stay.
      if (version !== refusedVersion) {
        log.error({ err: error, usersFile }, 'the users file is not usable; keeping the last one');
      }
      refusedVersion = version;
    }
  };
  return {
    async current() {
      if (clock.monotonicMs() - checkedAtMs >= basicLimits.fileCheckMs) {
        checkedAtMs = clock.monotonicMs();
        await reload();
      }
      return users;
    },
  };
}

function parseBasic(header: string | undefined): Credentials | undefined {
  if (header === undefined || header.length > basicLimits.headerCharsMax) return undefined;
  const [, encoded] = /^basic +([A-Za-z0-9+/_-]+=*) *$/i.exec(header) ?? [];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 1 ? undefined : { name: text.slice(0, colon), password: text.slice(colon + 1) };
}
