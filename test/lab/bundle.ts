/**
 * Agent and generic driver of this checkout as a few plain JavaScript files. In the lab an emulated processor runs them:
 * started from the sources (a thousand files by 9p, types stripped each time) the agent takes a minute, bundled 5 s.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { rolldown, type Plugin } from 'rolldown';

export const checkout = join(import.meta.dirname, '../..');
/** Where the files are inside the lab's machine. */
export const installedAt = '/lab/x/cyborg';

const programs = [
  'apps/agent/src/main.ts',
  'drivers/generic/src/main.ts',
  'test/lab/acts/inside.ts',
];
const data = ['drivers/generic/definitions', 'packages/driver-sdk/protocol.schema.json'];

const toJs = (path: string): string => path.replace(/\.ts$/, '.js');

/** Writes them below `folder`, each at its own place in the tree. */
export async function writeBundles(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const waiting = new Set(programs);
  // Grows while it is read: a bundle names the modules that it starts as programs of their own.
  for (const program of waiting) {
    const source = join(checkout, program);
    const plugin = placesOf(source, (path) => waiting.add(path));
    const bundle = await rolldown({ input: source, platform: 'node', plugins: [plugin] });
    await bundle.write({ file: join(folder, toJs(program)), format: 'esm', codeSplitting: false });
    await bundle.close();
  }
  for (const path of data) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(checkout, path), join(folder, path), { recursive: true });
  }
  const driver = 'drivers/generic/package.json';
  const manifest: object = JSON.parse(readFileSync(join(checkout, driver), 'utf8'));
  const own = { ...manifest, cyborg: { main: 'src/main.js' } };
  writeFileSync(join(folder, driver), JSON.stringify(own));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  mkdirSync(join(folder, 'node_modules'));
}

/** What a module says by its own place must be true of its old place. */
function placesOf(program: string, onProgram: (path: string) => void): Plugin {
  return {
    name: 'places',
    transform(code, id): string | null {
      if (!code.includes('import.meta') || id.includes('node_modules')) return null;
      const here = dirname(relative(checkout, id));
      const place = (path: string): string => JSON.stringify(`file://${installedAt}/${path}`);
      const withUrls = code.replaceAll(
        /new URL\(\s*'(\.[^']*)',\s*import\.meta\.url,?\s*\)/g,
        (_, path: string) => {
          const target = join(here, path);
          if (target.endsWith('.ts') && !programs.includes(target)) onProgram(target);
          return `new URL(${place(toJs(target))})`;
        },
      );
      const withFolders = withUrls.replaceAll(
        'import.meta.dirname',
        JSON.stringify(join(installedAt, here)),
      );
      return id === program ? withFolders : withFolders.replaceAll('import.meta.main', 'false');
    },
  };
}
