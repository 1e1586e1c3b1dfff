import { text as readAll } from 'node:stream/consumers';

import { isRole, roles as allRoles } from '@cyborg/model/caller';
import { OptionError } from '@cyborg/service/option-error';
import { helpText } from '@cyborg/service/option-help';
import { defineProgram } from '@cyborg/service/option-schema';
import { parseOptions } from '@cyborg/service/options';
import { systemRng } from '@cyborg/service/rng';

import { Check } from 'typebox/value';

import { makePassword } from '../auth/make-password.ts';
import { hashPassword } from '../auth/password.ts';
import { UserEntrySchema, UsersFileError } from '../auth/users-file.ts';
import { putUsers } from '../auth/write-users-file.ts';
import { serverProgram, usersFileOf } from '../options.ts';
import { serverVersion } from '../version.ts';

const { usersFile, stateDir } = serverProgram.options;

/** Variables of its own: the server's CYBORG_SERVER_ROLE is about a process, not about a user. */
const environmentPrefix = 'CYBORG_USER_SET_';

const program = defineProgram({
  name: 'cyborg-server user-set NAME',
  environmentPrefix,
  summary: 'Adds a user to the users file, or changes one; a running server notices by itself.',
  options: {
    usersFile,
    stateDir,
    role: {
      type: 'list',
      default: ['reader'],
      help: `what the user may do: ${allRoles.join(', ')}`,
      refuse: (value) => (isRole(value) ? undefined : `one of ${allRoles.join(', ')}`),
    },
    project: { type: 'string', required: true, placeholder: 'ID', help: 'the project of the user' },
    projectName: {
      type: 'string',
      placeholder: 'NAME',
      help: "the project's name, when it is not its id",
    },
    passwordStdin: {
      type: 'boolean',
      default: false,
      help: 'read the password from standard input instead of making one up and printing it',
    },
  },
});

const passwordCharsMin = 8;

export async function userSet(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  const isFlag = name === undefined || name.startsWith('-');
  const parsed = parseOptions(program, {
    argv: isFlag ? argv : rest,
    env: withServersPlaces(process.env),
    cwd: process.cwd(),
  });
  if (parsed.kind !== 'run') {
    process.stdout.write(parsed.kind === 'help' ? helpText(program) : `${serverVersion}\n`);
    return 0;
  }
  if (isFlag) throw new OptionError('The name of the user is missing: user-set NAME --project ID.');
  if (!Check(UserEntrySchema.properties.name, name)) {
    throw new OptionError(
      `${JSON.stringify(name)} cannot be a user's name: no colon, no control characters.`,
    );
  }
  const { options } = parsed;
  const path = usersFileOf(options);
  const password = options.passwordStdin ? await readPassword() : makePassword(systemRng);
  try {
    await putUsers(path, [
      {
        name,
        password_hash: await hashPassword(password, systemRng),
        roles: options.role.filter(isRole),
        project_id: options.project,
        ...(options.projectName === undefined ? {} : { project_name: options.projectName }),
      },
    ]);
  } catch (error) {
    if (error instanceof UsersFileError) throw new OptionError(error.message);
    throw error;
  }
  console.error(`User ${name} is in ${path}.`);
  if (!options.passwordStdin) console.log(password);
  return 0;
}

/** Where the server is told to look for its users, they are written. */
function withServersPlaces(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const places = ['USERS_FILE', 'STATE_DIR'].map((name) => [
    `${environmentPrefix}${name}`,
    env[`${environmentPrefix}${name}`] ?? env[`CYBORG_SERVER_${name}`],
  ]);
  return { ...env, ...Object.fromEntries(places) };
}

async function readPassword(): Promise<string> {
  const password = (await readAll(process.stdin)).replace(/\r?\n$/, '');
  if (password.length >= passwordCharsMin) return password;
  throw new OptionError(
    `The password on standard input is shorter than ${passwordCharsMin} characters.`,
  );
}
