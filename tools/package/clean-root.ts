/** A root folder with nothing but Debian's required packages and named ones, copied from this machine; no npm, no Node. */
import { execFileSync } from 'node:child_process';
import { cpSync, globSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

interface Installed {
  readonly name: string;
  readonly isRequired: boolean;
  /** Names; of alternatives all. */
  readonly depends: readonly string[];
  readonly provides: readonly string[];
}

/** @returns the names of what is in it. */
export function makeCleanRoot(root: string, wanted: readonly string[]): string[] {
  const all = installedPackages();
  const names = withDependencies(all, [
    ...all.filter(({ isRequired }) => isRequired).map(({ name }) => name),
    ...wanted,
  ]);
  const merged = ['bin', 'sbin', 'lib', 'lib64'];
  for (const folder of merged) {
    mkdirSync(join(root, 'usr', folder), { recursive: true });
    symlinkSync(`usr/${folder}`, join(root, folder));
  }
  // dpkg names files by their old places: the merge of / and /usr is done by tar, through the links.
  copyFiles(root, names);
  const dpkg = join(root, 'var/lib/dpkg');
  mkdirSync(join(dpkg, 'info'), { recursive: true });
  for (const file of globSync('/var/lib/dpkg/info/*.list')) {
    const owner = basename(file, '.list').replace(/:.*$/, '');
    if (names.includes(owner)) cpSync(file, join(dpkg, 'info', basename(file)));
  }
  mkdirSync(join(dpkg, 'updates'), { recursive: true });
  writeFileSync(join(dpkg, 'status'), run('dpkg-query', ['--status', ...names]));
  for (const folder of ['proc', 'sys', 'dev', 'run', 'tmp', 'etc', 'root', 'var/log']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  // What base-passwd's script would have made.
  run('cp', ['/usr/share/base-passwd/passwd.master', join(root, 'etc/passwd')]);
  run('cp', ['/usr/share/base-passwd/group.master', join(root, 'etc/group')]);
  run('cp', ['-a', '/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d', join(root, 'etc')]);
  // Tools whose name is an alternative, such as awk.
  run('cp', ['-a', '/etc/alternatives', join(root, 'etc')]);
  return names;
}

function installedPackages(): Installed[] {
  const format = '${Package}\t${Priority}\t${Pre-Depends}, ${Depends}\t${Provides}\n';
  const list = (text: string | undefined): string[] =>
    (text ?? '')
      .split(/[,|]/)
      .map((one) => one.trim().replace(/[ :(].*$/, ''))
      .filter((one) => one !== '');
  return run('dpkg-query', ['--show', `--showformat=${format}`])
    .trim()
    .split('\n')
    .map((line) => {
      const [name = '', priority, depends, provides] = line.split('\t');
      const isRequired = priority === 'required';
      return { name, isRequired, depends: list(depends), provides: list(provides) };
    });
}

function withDependencies(all: readonly Installed[], first: readonly string[]): string[] {
  const byName = new Map<string, Installed>();
  for (const one of all) for (const name of one.provides) byName.set(name, one);
  for (const one of all) byName.set(one.name, one);
  const found = new Set<string>();
  const waiting = new Set(first);
  for (const name of waiting) {
    const one = byName.get(name);
    if (one === undefined) continue;
    found.add(one.name);
    for (const needed of one.depends) waiting.add(needed);
  }
  return [...found].toSorted();
}

function copyFiles(root: string, names: readonly string[]): void {
  const listed = run('dpkg-query', ['--listfiles', ...names])
    .split('\n')
    .filter((path) => path.startsWith('/') && path !== '/.' && !path.startsWith('/usr/share/doc'))
    .filter((path) => !['/bin', '/sbin', '/lib', '/lib64'].includes(path));
  const pack = ['-C', '/', '--no-recursion', '--ignore-failed-read', '-cf', '-', '-T', '-'];
  const archive = execFileSync('tar', pack, {
    input: [...new Set(listed)].map((path) => path.slice(1)).join('\n'),
    maxBuffer: 2 ** 31,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  execFileSync('tar', ['-C', root, '--keep-directory-symlink', '-xpf', '-'], { input: archive });
}

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 28 });
}
