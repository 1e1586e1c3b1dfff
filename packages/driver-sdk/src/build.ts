/** Makes the package that authors get: JavaScript with types, since Node strips no types below node_modules. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const home = join(import.meta.dirname, '..');
const compiler = join(home, '..', '..', 'node_modules', 'typescript', 'bin', 'tsc');

/** Where the package is: a folder that npm can pack and Node can import. */
export const sdkPackage = join(home, 'dist');

/**
 * Builds it where a source is newer, or it is not there.
 * @throws Error with what the compiler says.
 */
export function buildSdk(): void {
  // A release has it, and no compiler.
  if (isBuilt() || (existsSync(built) && !existsSync(compiler))) return;
  if (!existsSync(compiler)) {
    throw new Error(`the driver SDK is not built, and ${compiler} is not there: run npm ci`);
  }
  // Beside the old one until it is whole: somebody may be copying that.
  const fresh = join(home, `dist-${process.pid}`);
  try {
    buildInto(fresh);
    if (!isBuilt()) putInPlace(fresh);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

const built = join(sdkPackage, 'package.json');

function isBuilt(): boolean {
  const sources = globSync(['src/**/*.ts', '*.json', 'README.md'], { cwd: home });
  const newestMs = Math.max(...sources.map((path) => statSync(join(home, path)).mtimeMs));
  return existsSync(built) && statSync(built).mtimeMs >= newestMs;
}

/** Another process may be doing the same. */
function putInPlace(fresh: string): void {
  if (existsSync(sdkPackage)) rmSync(sdkPackage, { recursive: true, force: true });
  try {
    renameSync(fresh, sdkPackage);
  } catch (error) {
    if (!isBuilt()) throw error;
  }
}

function buildInto(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const args = ['-p', join(home, 'tsconfig.build.json'), '--outDir', join(folder, 'lib')];
  const { status, stdout, error } = spawnSync(process.execPath, [compiler, ...args]);
  if (status !== 0) {
    throw new Error(`the driver SDK cannot be built: ${error?.message ?? String(stdout)}`);
  }
  for (const path of globSync('lib/**/*.{js,d.ts}', { cwd: folder })) {
    const file = join(folder, path);
    writeFileSync(file, withoutTsPaths(readFileSync(file, 'utf8')));
  }
  for (const name of ['protocol.schema.json', 'README.md']) {
    cpSync(join(home, name), join(folder, name));
  }
  cpSync(join(home, '..', '..', 'LICENSE'), join(folder, 'LICENSE'));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
}

/** What the compiler leaves: imports of declarations, and modules that are started by their URL. */
function withoutTsPaths(text: string): string {
  return text.replaceAll(/((?:from|import\(|new URL\() ?'\.[^']*)\.ts'/g, "$1.js'");
}

function manifest(): Record<string, unknown> {
  const { private: _, exports: __, scripts: ___, ...own } = readManifest();
  return {
    ...own,
    description: 'What a driver of Cyborg is made with',
    engines: { node: '>=24' },
    files: ['lib', 'protocol.schema.json'],
    exports: {
      './*': { types: './lib/*.d.ts', default: './lib/*.js' },
      './protocol.schema.json': './protocol.schema.json',
    },
  };
}

function readManifest(): Record<string, unknown> {
  const content: unknown = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  return typeof content === 'object' && content !== null ? { ...content } : {};
}

if (import.meta.main) {
  buildSdk();
  process.stdout.write(`${sdkPackage}\n`);
}
