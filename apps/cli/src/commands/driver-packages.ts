import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';

import { digestOf } from '@cyborg/driver-package/digest';
import { inspectPackage } from '@cyborg/driver-package/inspect';
import { checkProtocol } from '@cyborg/driver-package/manifest-rules';
import { packFolder } from '@cyborg/driver-package/pack';
import { PackageError } from '@cyborg/driver-package/package-error';
import { fingerprintOf, signDigest } from '@cyborg/driver-package/signature';
import type { V3Result } from '@cyborg/api-client/v3';

import { defineCommand, defineLocalCommand, type Context } from '../command.ts';
import { CliError } from '../errors.ts';
import {
  checkTried,
  conformanceColumn,
  readReport,
  type ConformanceReport,
} from './driver-conformance.ts';
import { actArgs, dryRunFlag, isDryRun, showChanged, showDeleted } from '../operations/act.ts';

/** Twice the server's own limit for a request. */
const uploadTimeoutMs = 120_000;

export const driverUpload = defineCommand({
  changes: true,
  args: { file: { help: 'the package, as `cyborg driver-pack` or `npm pack` made it' } },
  flags: {
    signature: {
      type: 'string',
      placeholder: 'FILE',
      help: 'its signature (default: the package’s name with .sig, when there is one)',
    },
    conformance: {
      type: 'string',
      placeholder: 'REPORT',
      help: 'what `cyborg driver-test PACKAGE --report REPORT` wrote about this very package',
    },
    approve: { type: 'boolean', help: 'approve it right away' },
    dryRun: dryRunFlag,
  },
  examples: [
    {
      command: 'cyborg driver-upload acme-1.0.0.tgz',
      help: 'with acme-1.0.0.tgz.sig, if there is one',
    },
    {
      command: 'cyborg driver-upload acme-1.0.0.tgz --conformance report.json --approve',
      help: 'with what the conformance kit says of it, and approve it',
    },
  ],
  async run({ args, flags }, context) {
    const path = resolve(context.io.workingDirectory, args.file);
    const signature = await readSignature(context, path, flags.signature);
    const report = await reportAbout(context, args.file, flags.conformance);
    const { query, headers } = actArgs(context, flags.dryRun);
    const answer = await context.api.uploadDriver({
      query: { ...query, signature },
      headers,
      body: { [Symbol.asyncIterator]: () => createReadStream(path)[Symbol.asyncIterator]() },
      timeoutMs: uploadTimeoutMs,
    });
    if (isDryRun(answer)) return showChanged(answer, context);
    const { driver_id, version, digest } = answer;
    const params = { driver_id, version };
    const reported = report && (await context.api.putConformanceReport({ params, body: report }));
    const approved = flags.approve
      ? await approve(context, { ...params, digest: digest ?? undefined })
      : undefined;
    return showChanged(approved ?? reported ?? answer, context, [conformanceColumn]);
  },
});

/** @throws CliError before anything is uploaded, unless it is about this package. */
async function reportAbout(
  { io }: Context,
  file: string,
  named: string | undefined,
): Promise<ConformanceReport | undefined> {
  if (named === undefined) return undefined;
  const report = await readReport(io, named);
  const { digest } = await digestOf(createReadStream(resolve(io.workingDirectory, file)));
  checkTried(report, { file, digest });
  return report;
}

/** @throws CliError when the file that was named, or the package itself, cannot be read. */
async function readSignature(
  { io }: Context,
  path: string,
  named: string | undefined,
): Promise<string | undefined> {
  const file = named === undefined ? `${path}.sig` : resolve(io.workingDirectory, named);
  await readable(path);
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (named === undefined) return undefined;
    throw new CliError(`--signature ${named} cannot be read: ${messageOf(error)}`);
  }
}

async function readable(path: string): Promise<void> {
  const stream = createReadStream(path, { end: 0 });
  try {
    for await (const _ of stream);
  } catch (error) {
    throw new CliError(`${path} cannot be read: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

type Version = { readonly driver_id: string; readonly version: string };

function approve(
  { api }: Context,
  { digest, ...params }: Version & { readonly digest: string | undefined },
): Promise<V3Result<'approveDriverVersion'>> {
  return api.approveDriverVersion({ params, body: { digest } });
}

export const driverApprove = defineCommand({
  changes: true,
  args: { driver_id: { help: 'id of the driver' }, version: { help: 'the version' } },
  flags: {
    digest: {
      type: 'string',
      placeholder: 'D',
      help: 'only if it is still this one (sha512-…)',
    },
    dryRun: dryRunFlag,
  },
  examples: [
    { command: 'cyborg driver-approve acme 1.0.0', help: 'from now on it can be installed' },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.approveDriverVersion({
      params: { driver_id: args.driver_id, version: args.version },
      body: { digest: flags.digest },
      ...actArgs(context, flags.dryRun),
    });
    await showChanged(answer, context, [conformanceColumn]);
  },
});

export const driverDelete = defineCommand({
  changes: true,
  args: { driver_id: { help: 'id of the driver' }, version: { help: 'the version' } },
  flags: { dryRun: dryRunFlag },
  examples: [
    { command: 'cyborg driver-delete acme 1.0.0', help: 'refused while it is installed anywhere' },
  ],
  async run({ args, flags }, context) {
    const answer = await context.api.deleteDriverVersion({
      params: { driver_id: args.driver_id, version: args.version },
      ...actArgs(context, flags.dryRun),
    });
    await showDeleted(answer, context, `Deleted ${args.driver_id} ${args.version}.`);
  },
});

export const driverPack = defineLocalCommand({
  args: { folder: { help: 'folder of a driver, with package.json and manifest.json' } },
  flags: {
    out: { type: 'string', placeholder: 'FILE', help: 'where to write it (ID-VERSION.tgz here)' },
  },
  examples: [{ command: 'cyborg driver-pack ./acme', help: 'writes acme-1.0.0.tgz' }],
  async run({ args, flags }, { io, out }) {
    const folder = resolve(io.workingDirectory, args.folder);
    const packed = await explained(async () => {
      const target = flags.out ?? `${await nameOf(folder)}.tgz`;
      const file = resolve(io.workingDirectory, target);
      await packFolder(folder, file);
      const inspected = await inspectPackage(createReadStream(file));
      checkProtocol(inspected.manifest);
      return { file, ...inspected };
    });
    const { file, digest, bytes, unpackedBytes, files, listing, manifest } = packed;
    const { id, version } = manifest;
    await out.show({
      file,
      driver_id: id,
      version,
      digest,
      size_bytes: bytes,
      unpacked_bytes: unpackedBytes,
      files,
      content: listing.map(
        ({ path, isExecutable }) => `${path}${isExecutable ? ' (executable)' : ''}`,
      ),
    });
  },
});

async function nameOf(folder: string): Promise<string> {
  const content: unknown = JSON.parse(await readFile(resolve(folder, 'manifest.json'), 'utf8'));
  const text = (key: string): string =>
    typeof content === 'object' && content !== null && key in content
      ? String(Object.entries(content).find(([name]) => name === key)?.[1])
      : basename(folder);
  return `${text('id')}-${text('version')}`.replaceAll(/[^A-Za-z0-9.-]/g, '_');
}

export const driverSign = defineLocalCommand({
  args: { file: { help: 'the package' } },
  flags: {
    key: { type: 'string', placeholder: 'FILE', help: 'private key (PEM, ed25519)' },
    out: { type: 'string', placeholder: 'FILE', help: 'where to write it (FILE.sig)' },
  },
  examples: [
    {
      command: 'cyborg driver-sign acme-1.0.0.tgz --key publisher.pem',
      help: 'a key is made by: openssl genpkey -algorithm ed25519 -out publisher.pem',
    },
  ],
  async run({ args, flags }, { io, out }) {
    const { key } = flags;
    if (key === undefined)
      throw new CliError('--key FILE is missing: the private key to sign with.');
    const file = resolve(io.workingDirectory, args.file);
    const target = resolve(io.workingDirectory, flags.out ?? `${args.file}.sig`);
    const signed = await explained(async () => {
      const { digest } = await digestOf(createReadStream(file));
      const secret = await readFile(resolve(io.workingDirectory, key), 'utf8');
      return { digest, signature: signDigest(digest, secret), key: fingerprintOf(secret) };
    });
    await writeFile(target, `${signed.signature}\n`);
    await out.show({ file: target, ...signed });
  },
});

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isFile = error instanceof Error && 'path' in error;
    if (error instanceof PackageError || error instanceof SyntaxError || isFile) {
      throw new CliError(messageOf(error));
    }
    throw error;
  }
}
