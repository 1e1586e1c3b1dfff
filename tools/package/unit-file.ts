/** What is needed of a unit file to start its service as systemd would. */
export interface Unit {
  readonly user: string | undefined;
  readonly umask: string;
  readonly stateDirectory: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  readonly environmentFile: string | undefined;
  readonly command: readonly string[];
}

/** Of files as ours are: one setting a line, no quotes, no specifiers. */
export function parseUnit(text: string): Unit {
  const settings = [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, key = '', value = '']) => ({
    key,
    value,
  }));
  const last = (key: string): string | undefined =>
    settings.findLast((setting) => setting.key === key)?.value;
  const variables = settings.filter(({ key }) => key === 'Environment').map(({ value }) => value);
  const command = last('ExecStart');
  if (command === undefined) throw new Error('The unit has no ExecStart.');
  return {
    user: last('User'),
    umask: last('UMask') ?? '0022',
    stateDirectory: last('StateDirectory'),
    environment: parseVariables(variables.join('\n')),
    environmentFile: last('EnvironmentFile')?.replace(/^-/, ''),
    command: command.split(' '),
  };
}

/** Lines `NAME=VALUE`; comments and empty lines say nothing. */
export function parseVariables(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, key, value]) => [key, value]),
  );
}
