import { createReadStream } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { inspectPackage } from '@cyborg/driver-package/inspect';
import { parseManifest } from '@cyborg/driver-package/manifest';
import { checkProtocol } from '@cyborg/driver-package/manifest-rules';
import { unpackPackage } from '@cyborg/driver-package/unpack';

import { defineLocalCommand } from '../command.ts';
import { CliError } from '../errors.ts';

const seedMax = 2 ** 31 - 1;

export const driverTest = defineLocalCommand({
  args: {
    'path-or-package': {
      help: 'folder of a driver, its package (.tgz), or the name of an installed one',
    },
  },
  flags: {
    backends: {
      type: 'string',
      placeholder: 'FILE',
      help: 'JSON list of {name, kind, config} to try, not those of the manifest and one of each other kind',
    },
    clause: { type: 'strings', placeholder: 'ID', help: 'this clause alone, and what it needs' },
    tree: {
      type: 'string',
      placeholder: 'PATH',
      help: 'machine to try it on, not the one that comes with the kit: a recording, or a folder with a copy of /sys (and /proc)',
    },
    image: {
      type: 'string',
      placeholder: 'FILE',
      help: 'program image that its cards take, for drivers that write any',
    },
    report: { type: 'string', placeholder: 'FILE', help: 'write the report there as JSON' },
    record: {
      type: 'string',
      placeholder: 'FILE',
      help: 'keep the whole conversation there, as a bug report',
    },
    replay: {
      type: 'string',
      placeholder: 'FILE',
      help: 'say a recorded conversation again and compare the answers',
    },
    patience: {
      type: 'integer',
      placeholder: 'SECONDS',
      min: 1,
      max: 60,
      help: 'how long to wait for an answer (10)',
    },
    seed: {
      type: 'integer',
      placeholder: 'N',
      min: 0,
      max: seedMax,
      help: 'of what is random; a report names it',
    },
  },
  examples: [
    {
      command: 'cyborg driver-test drivers/fake',
      help: 'under two minutes; exit 0 if it conforms',
    },
    {
      command: 'cyborg driver-test acme-1.0.0.tgz --report report.json',
      help: 'the package that would be uploaded; `driver-upload --conformance` takes the report',
    },
    {
      command: 'cyborg driver-test ./my-driver --record talk.jsonl --report report.json',
      help: 'with all that was said, and a report for programs',
    },
    {
      command: 'cyborg driver-test ./my-driver --replay talk.jsonl',
      help: 'whether it still answers like that',
    },
  ],
  async run({ args, flags }, { io, out }) {
    const { driverTest: tryDriver } = await import('@cyborg/driver-test/driver-test');
    const { patience, clause, seed = Math.floor(io.rng.fraction() * seedMax), ...files } = flags;
    const named = args['path-or-package'];
    await using unpacked = await unpackIfPacked(resolve(io.workingDirectory, named)).catch(refuse);
    const target = unpacked?.folder ?? named;
    await checkManifest(resolve(io.workingDirectory, target)).catch(refuse);
    const result = await tryDriver({
      ...files,
      clauses: clause,
      target,
      digest: unpacked?.digest,
      seed,
      callMs: patience === undefined ? undefined : patience * 1000,
      workingDirectory: io.workingDirectory,
    }).catch(refuse);
    if (out.format === 'table') io.stdout.write(`${result.text}\n`);
    else await out.list(result.rows, ['clause', 'outcome', 'detail'], 'nothing was tried');
    if (!result.passed) throw new CliError(result.summary);
  },
});

function refuse(error: unknown): never {
  throw new CliError(error instanceof Error ? error.message : String(error));
}

/** What would be uploaded has an `entry`; drivers of the release have not. @throws PackageError, as the server would. */
async function checkManifest(folder: string): Promise<void> {
  const text = await readFile(join(folder, 'manifest.json'), 'utf8').catch(() => '');
  if (/"entry"\s*:/u.test(text)) checkProtocol(parseManifest(text));
}

interface Unpacked extends AsyncDisposable {
  readonly folder: string;
  readonly digest: string;
}

/** @throws PackageError for what server and agents would refuse. */
async function unpackIfPacked(file: string): Promise<Unpacked | undefined> {
  if (!file.endsWith('.tgz')) return undefined;
  const { digest } = await inspectPackage(createReadStream(file));
  const place = await mkdtemp(join(tmpdir(), 'cyborg-package-'));
  const remove = async (): Promise<void> => rm(place, { recursive: true, force: true });
  try {
    await chmod(place, 0o755); // the driver is another user
    const folder = join(place, 'package');
    await unpackPackage(file, folder);
    return { folder, digest, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
