/** Options of `npm start`: the server's own, and what makes one machine a whole installation. */
import { homedir } from 'node:os';
import { join } from 'node:path';

import { defineProgram } from '@cyborg/service/option-schema';
import type { OptionsOf } from '@cyborg/service/option-schema';

import { serverProgram } from '../options.ts';

const { role: _role, auth: _auth, usersFile: _usersFile, ...serverOptions } = serverProgram.options;

export const allInOneProgram = defineProgram({
  name: 'npm start --',
  environmentPrefix: serverProgram.environmentPrefix,
  summary: 'A whole installation on this machine: server, database, users, and an agent.',
  options: {
    ...serverOptions,
    demo: {
      type: 'boolean',
      default: false,
      help: 'add three simulated hosts with accelerators and instances to try everything on',
    },
  },
});

export type AllInOneOptions = OptionsOf<(typeof allInOneProgram)['options']>;

type Env = Readonly<Record<string, string | undefined>>;

export function defaultStateDir(env: Env): string {
  return join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'cyborg');
}

/** Where the CLI looks by itself. */
export function defaultClientFile(env: Env): string {
  return join(env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'cyborg', 'client.yaml');
}
