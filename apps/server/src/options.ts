/** Every option of cyborg-server: the one schema behind flag, environment variable, configuration file and docs. */
import { hostname } from 'node:os';
import { join } from 'node:path';

import { defaultLimits } from '@cyborg/conductor/limits';
import type { ConductorLimits } from '@cyborg/conductor/limits';
import { signaturePolicies } from '@cyborg/driver-package/signature';
import { logLevels } from '@cyborg/service/logging';
import { tracingOptions } from '@cyborg/service/tracing-options';
import { OptionError } from '@cyborg/service/option-error';
import { defineProgram } from '@cyborg/service/option-schema';
import type { OptionsOf } from '@cyborg/service/option-schema';

import { refusePublicUrl } from './http/base-url.ts';
import { parseListen } from './listen-rules.ts';
import { openStackOptions } from './openstack-options.ts';

const daySeconds = 86_400;

export const serverProgram = defineProgram({
  name: 'cyborg-server',
  environmentPrefix: 'CYBORG_SERVER_',
  summary:
    'The control plane: the HTTP API (api), the work in the background (conductor), or both (all).',
  options: {
    role: {
      type: 'enum',
      values: ['api', 'conductor', 'all'],
      default: 'all',
      help: 'what this process does; a conductor still answers /healthz, /readyz and /metrics',
    },
    databaseUrl: {
      type: 'string',
      secret: true,
      placeholder: 'URL',
      help: 'PostgreSQL 15 or newer, as postgresql://user:password@host/database; without it one is run in the state directory',
      refuse: (value) =>
        isDatabaseUrl(value) ? undefined : 'a URL such as postgresql://user:password@host/database',
    },
    databasePoolSize: {
      type: 'integer',
      min: 2,
      max: 500,
      default: 20,
      help: 'connections to the database at most',
    },
    stateDir: {
      type: 'path',
      placeholder: 'DIR',
      help: 'where the embedded PostgreSQL and, unless told otherwise, the users file are',
    },
    listen: {
      type: 'list',
      default: ['127.0.0.1:6680'],
      placeholder: 'ADDRESS:PORT',
      help: 'where to listen; anything but loopback needs TLS or a TLS proxy, and authentication',
      refuse: (value) =>
        parseListen(value) === undefined
          ? 'an address and a port, such as 127.0.0.1:6680 or [::1]:6680'
          : undefined,
    },
    tlsCert: {
      type: 'path',
      placeholder: 'FILE',
      help: 'certificate chain (PEM) to serve HTTPS with',
    },
    tlsKey: { type: 'path', placeholder: 'FILE', help: 'private key (PEM) of the certificate' },
    behindTlsProxy: {
      type: 'boolean',
      default: false,
      help: 'a proxy in front ends TLS and sets X-Forwarded-For',
    },
    publicUrl: {
      type: 'string',
      placeholder: 'URL',
      help: 'the API as clients reach it, without /v2 and /v3: links in answers begin with it; unless given, with what the request was sent to',
      refuse: refusePublicUrl,
    },
    auth: {
      type: 'enum',
      values: ['http_basic', 'keystone', 'none'],
      default: 'http_basic',
      help: 'how callers say who they are; none makes everybody admin and is for loopback only',
    },
    usersFile: {
      type: 'path',
      placeholder: 'FILE',
      help: 'users for http_basic, mode 0600, read again when it changes; default users.yaml in the state directory',
    },
    ...openStackOptions,
    consoleDir: {
      type: 'path',
      placeholder: 'DIR',
      help: "the built console, served at /console/; unless given, the checkout's apps/console/dist",
    },
    consoleIdle: {
      type: 'duration',
      min: 60,
      max: daySeconds,
      default: 1800,
      help: 'a session of the console that nobody uses for so long ends; any ends after 12 hours',
    },
    bodyLimit: {
      type: 'integer',
      min: 1024,
      max: 64 * 1024 * 1024,
      default: 1024 * 1024,
      help: 'bytes of a request body at most (agents may send larger inventories)',
    },
    bindInline: {
      type: 'duration',
      min: 1,
      max: 240,
      default: defaultLimits.bindInlineSeconds,
      help: 'a bind through v2 that must write a program image first is answered after this at the latest, and goes on. Keep it below the time that Nova and what stands between wait for an answer',
    },
    attachDeadline: {
      type: 'duration',
      min: 5,
      max: daySeconds,
      default: defaultLimits.attachDeadlineSeconds,
      help: 'an attach that its host has not finished after this fails and is undone',
    },
    detachDeadline: {
      type: 'duration',
      min: 5,
      max: daySeconds,
      default: defaultLimits.detachDeadlineSeconds,
      help: 'a detach that its host has not finished after this is reported as failed; its host goes on with it',
    },
    waitForHost: {
      type: 'duration',
      min: 1,
      max: 30 * daySeconds,
      default: defaultLimits.waitForHostSeconds,
      help: 'an operation that waits for a host that is down fails after this',
    },
    vanishAfter: {
      type: 'duration',
      min: 1,
      max: daySeconds,
      default: defaultLimits.vanishSeconds,
      help: 'an instance has vanished after two healthy looks without it, at least this far apart: a QEMU guest that is off for longer loses its accelerators',
    },
    absentGrace: {
      type: 'duration',
      min: 0,
      max: 3650 * daySeconds,
      default: defaultLimits.absentGraceSeconds,
      help: 'a free device that has been absent for this long is removed; 0 = never by itself',
    },
    eventRetention: {
      type: 'duration',
      min: 0,
      max: 36_500 * daySeconds,
      default: defaultLimits.eventRetentionSeconds,
      help: 'events, and attachments that ended, are forgotten after this, a day or more; 0 = never',
      refuse: refuseShortRetention,
    },
    operationRetention: {
      type: 'duration',
      min: 0,
      max: 36_500 * daySeconds,
      default: defaultLimits.operationRetentionSeconds,
      help: 'operations that ended, instances that vanished and join tokens are forgotten after this, a day or more; 0 = never',
      refuse: refuseShortRetention,
    },
    replicaName: {
      type: 'string',
      default: hostname(),
      placeholder: 'NAME',
      help: 'what this process is called among the services',
    },
    driverKey: {
      type: 'list',
      default: [],
      placeholder: 'FILE',
      help: 'public keys (PEM, ed25519) whose driver packages are taken; read at start',
    },
    driverSignatures: {
      type: 'enum',
      values: signaturePolicies,
      default: 'require',
      help: 'require: no driver package that none of these keys has signed; warn: others too, shown as unsigned',
    },
    ...tracingOptions,
    logLevel: {
      type: 'enum',
      values: logLevels,
      default: 'info',
      help: 'least important message to log',
    },
    logFormat: {
      type: 'enum',
      values: ['json', 'lines'],
      default: 'json',
      help: 'json for machines, lines for people; to stderr',
    },
    shutdownTimeLimit: {
      type: 'duration',
      min: 1,
      max: 600,
      default: 30,
      help: 'requests in flight and the work in the background have this long to finish',
    },
  },
});

/** Answers are repeated for a day, with the operations that they name; and a reader may be away for a night. */
function refuseShortRetention(seconds: string): string | undefined {
  return seconds === '0' || Number(seconds) >= daySeconds ? undefined : '0, or at least 1d';
}

function isDatabaseUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && ['postgresql:', 'postgres:'].includes(url.protocol);
}

export type ServerOptions = OptionsOf<(typeof serverProgram)['options']>;

export function toLimits(options: ServerOptions): ConductorLimits {
  return {
    ...defaultLimits,
    attachDeadlineSeconds: options.attachDeadline,
    bindInlineSeconds: options.bindInline,
    detachDeadlineSeconds: options.detachDeadline,
    waitForHostSeconds: options.waitForHost,
    vanishSeconds: options.vanishAfter,
    absentGraceSeconds: options.absentGrace,
    eventRetentionSeconds: options.eventRetention,
    operationRetentionSeconds: options.operationRetention,
  };
}

/** @throws {OptionError} when http_basic has no users file. */
export function usersFileOf({
  usersFile,
  stateDir,
}: Pick<ServerOptions, 'usersFile' | 'stateDir'>): string {
  if (usersFile !== undefined) return usersFile;
  if (stateDir !== undefined) return join(stateDir, 'users.yaml');
  throw new OptionError(
    'There is no users file: give --users-file (or --state-dir, where users.yaml is looked for), or --auth none on loopback.',
  );
}
