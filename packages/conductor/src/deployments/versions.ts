/** Order of driver versions: as semantic versions; a pre-release comes before its release. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parse(a), parse(b)];
  for (let index = 0; index < 3; index++) {
    const difference = (left.numbers[index] ?? 0) - (right.numbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  if (left.pre === right.pre) return 0;
  if (left.pre === '') return 1;
  if (right.pre === '') return -1;
  return left.pre.localeCompare(right.pre, 'en', { numeric: true });
}

function parse(version: string): { readonly numbers: readonly number[]; readonly pre: string } {
  const [withoutBuild = ''] = version.split('+');
  const [core = '', ...pre] = withoutBuild.split('-');
  return { numbers: core.split('.').map(Number), pre: pre.join('-') };
}
