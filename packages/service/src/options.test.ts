import { describe, expectTypeOf, it } from 'vitest';

import { helpText, optionsMarkdown } from './option-help.ts';
import { optionsOrExitCode } from './option-main.ts';
import { defineProgram } from './option-schema.ts';
import { parseOptions } from './options.ts';

const program = defineProgram({
  name: 'cyborg-server',
  environmentPrefix: 'CYBORG_SERVER_',
  summary: 'Runs the control plane.',
  options: {
    stateDir: { type: 'path', default: 'state', placeholder: 'DIR', help: 'where files are kept' },
    databaseUrl: { type: 'string', secret: true, help: 'a PostgreSQL instead of the embedded one' },
    poolSize: { type: 'integer', min: 1, max: 100, default: 20, help: 'connections at most' },
    logLevel: {
      type: 'enum',
      values: ['debug', 'info'],
      default: 'info',
      help: 'how much is said',
    },
    behindTlsProxy: { type: 'boolean', default: false, help: 'TLS ends before this server' },
    grace: {
      type: 'duration',
      min: 0,
      max: 3600,
      default: 30,
      help: 'time for requests in flight',
    },
    listen: {
      type: 'list',
      default: ['127.0.0.1:6680'],
      placeholder: 'ADDRESS:PORT',
      help: 'where to listen',
      refuse: (value) =>
        /:\d+$/.test(value) ? undefined : 'an address and a port, such as [::1]:6680',
    },
  },
});

interface Given {
  readonly argv?: readonly string[];
  readonly env?: Record<string, string>;
  readonly file?: string;
}

function parse({ argv = [], env = {}, file }: Given) {
  const config = file === undefined ? [] : ['--config', 'etc/server.yaml'];
  const parsed = parseOptions(program, {
    argv: [...config, ...argv],
    env,
    cwd: '/work',
    readFile: () => file ?? '',
  });
  if (parsed.kind !== 'run') throw new Error(`not run: ${parsed.kind}`);
  return parsed.options;
}

describe('parseOptions', () => {
  it('gives every option its default', ({ expect }) => {
    expect(parse({})).toEqual({
      stateDir: '/work/state',
      databaseUrl: undefined,
      poolSize: 20,
      logLevel: 'info',
      behindTlsProxy: false,
      grace: 30,
      listen: ['127.0.0.1:6680'],
    });
  });

  it('types the result by the schema', () => {
    const options = parse({});
    expectTypeOf(options.poolSize).toEqualTypeOf<number>();
    expectTypeOf(options.databaseUrl).toEqualTypeOf<string | undefined>();
    expectTypeOf(options.logLevel).toEqualTypeOf<'debug' | 'info'>();
    expectTypeOf(options.listen).toEqualTypeOf<readonly string[]>();
  });

  it('prefers the flag to the environment to the file to the default', ({ expect }) => {
    const argv = ['--pool-size', '1'];
    const env = { CYBORG_SERVER_POOL_SIZE: '2' };
    const file = 'pool_size: 3';
    expect(parse({ argv, env, file }).poolSize).toBe(1);
    expect(parse({ env, file }).poolSize).toBe(2);
    expect(parse({ file }).poolSize).toBe(3);
  });

  it('reads every form of a flag', ({ expect }) => {
    const argv = ['--behind-tls-proxy', '--log-level=debug', '--listen', 'a:1', '--listen=b:2'];
    const options = parse({ argv });
    expect(options.behindTlsProxy).toBe(true);
    expect(options.logLevel).toBe('debug');
    expect(options.listen).toEqual(['a:1', 'b:2']);
    const env = { CYBORG_SERVER_BEHIND_TLS_PROXY: 'yes' };
    expect(parse({ env, argv: ['--no-behind-tls-proxy'] }).behindTlsProxy).toBe(false);
  });

  it('reads lists from commas and from YAML', ({ expect }) => {
    expect(parse({ env: { CYBORG_SERVER_LISTEN: 'a:1, b:2' } }).listen).toEqual(['a:1', 'b:2']);
    expect(parse({ file: 'listen:\n  - c:3\n' }).listen).toEqual(['c:3']);
  });

  it('reads durations with and without a unit as seconds', ({ expect }) => {
    const grace = (text: string): number => parse({ argv: ['--grace', text] }).grace;
    expect([grace('5'), grace('250ms'), grace('2m'), grace('1h')]).toEqual([5, 0.25, 120, 3600]);
  });

  it('resolves a path of the file against the folder of the file', ({ expect }) => {
    expect(parse({ file: 'state_dir: ../lib' }).stateDir).toBe('/work/lib');
    expect(parse({ argv: ['--state-dir', '../lib'] }).stateDir).toBe('/lib');
  });

  it.for<[Given, string]>([
    [
      { argv: ['--pool-size', 'many'] },
      '--pool-size: "many" is not allowed; it must be an integer from 1 to 100.',
    ],
    [
      { env: { CYBORG_SERVER_POOL_SIZE: '101' } },
      'environment variable CYBORG_SERVER_POOL_SIZE (option --pool-size): "101" is not allowed; it must be an integer from 1 to 100.',
    ],
    [
      { file: 'log_level: loud' },
      'log_level in /work/etc/server.yaml (option --log-level): "loud" is not allowed; it must be one of debug, info.',
    ],
    [
      { argv: ['--listen', 'here'] },
      '--listen: ["here"] is not allowed; it must be an address and a port, such as [::1]:6680.',
    ],
    [
      { argv: ['--grace', '2h'] },
      '--grace: "2h" is not allowed; it must be a time from 0 to 3600 seconds, such as 30, 30s, 5m, 2h, 1d or 250ms.',
    ],
    [
      { file: 'behind_tls_proxy: 7' },
      'behind_tls_proxy in /work/etc/server.yaml (option --behind-tls-proxy): 7 is not allowed; it must be true or false.',
    ],
    [
      { argv: ['--poolsize', '3'] },
      'There is no option --poolsize; the nearest that exist are --pool-size',
    ],
    [
      { file: 'poolsize: 3' },
      '/work/etc/server.yaml has the unknown key "poolsize"; the nearest that exist are pool_size',
    ],
    [{ file: '- a' }, '/work/etc/server.yaml must hold keys and values'],
    [{ file: 'a: [1' }, '/work/etc/server.yaml is not valid YAML'],
    [{ argv: ['--pool-size'] }, '--pool-size needs a value after it.'],
    [
      { argv: ['--pool-size', '--grace'] },
      '--pool-size needs a value after it, and --grace follows',
    ],
    [{ argv: ['start'] }, '"start" is not an option'],
    [{ argv: ['--no-behind-tls-proxy=1'] }, '--no-behind-tls-proxy takes no value.'],
  ])('says what is wrong with %j', ([given, message], { expect }) => {
    expect(() => parse(given)).toThrow(message);
  });

  it('never shows a secret', ({ expect }) => {
    const file = 'database_url: [hunter2]';
    expect(() => parse({ file })).toThrow('the given value (hidden) is not allowed');
  });

  it('takes a secret from the environment or the file, and from no command line', ({ expect }) => {
    const secretive = defineProgram({
      ...program,
      options: {
        keyPassword: { type: 'string', secret: true, noFlag: true, help: 'opens the key' },
        keyPasswordFile: { type: 'path', help: 'file with it' },
      },
    });
    const read = (argv: string[], env: Record<string, string> = {}): unknown =>
      parseOptions(secretive, { argv, env, cwd: '/' });
    expect(read([], { CYBORG_SERVER_KEY_PASSWORD: 'x' })).toMatchObject({
      options: { keyPassword: 'x' },
    });
    for (const argv of [['--key-password', 'x'], ['--key-password=x']]) {
      expect(() => read(argv)).toThrow(
        '--key-password is not taken on the command line, which other users of the machine can read: ' +
          'give --key-password-file, or the environment variable that ends in KEY_PASSWORD.',
      );
    }
    expect(helpText(secretive)).toContain('  CYBORG_SERVER_KEY_PASSWORD\n      Opens the key.\n');
    expect(optionsMarkdown(secretive)).toContain('| none | `CYBORG_SERVER_KEY_PASSWORD` |');
  });

  it('names a configuration file that is not there', ({ expect }) => {
    const argv = ['--config', '/does/not/exist.yaml'];
    expect(() => parseOptions(program, { argv, env: {}, cwd: '/' })).toThrow(
      /cannot be read: ENOENT.*\/does\/not\/exist\.yaml/,
    );
  });

  it('says how to give a required option that is missing', ({ expect }) => {
    const agent = defineProgram({
      ...program,
      environmentPrefix: 'CYBORG_AGENT_',
      options: { server: { type: 'string', required: true, help: 'URL of the server' } },
    });
    expect(() => parseOptions(agent, { argv: [], env: {}, cwd: '/' })).toThrow(
      'The option --server is missing: give it, or CYBORG_AGENT_SERVER in the environment, or server in',
    );
  });

  it('answers --help and --version whatever else is given', ({ expect }) => {
    const sources = { env: { CYBORG_SERVER_POOL_SIZE: 'x' }, cwd: '/' };
    expect(parseOptions(program, { ...sources, argv: ['--help'] })).toEqual({ kind: 'help' });
    expect(parseOptions(program, { ...sources, argv: ['--version'] })).toEqual({ kind: 'version' });
  });
});

describe('the texts made from a schema', () => {
  it('leave out a default that is empty', ({ expect }) => {
    const options = { parts: { type: 'list', default: [], help: 'parts' } } as const;
    expect(helpText({ ...program, options })).toContain('Parts (may be repeated).');
  });

  it('are the help', ({ expect }) => {
    expect(helpText(program)).toMatchInlineSnapshot(`
      "Usage: cyborg-server [OPTION]...
      Runs the control plane.

      Options (flag before environment variable before configuration file before default):
        --state-dir DIR
            Where files are kept (default state). [CYBORG_SERVER_STATE_DIR]
        --database-url STRING
            A PostgreSQL instead of the embedded one. [CYBORG_SERVER_DATABASE_URL]
        --pool-size INTEGER
            Connections at most (1 to 100; default 20). [CYBORG_SERVER_POOL_SIZE]
        --log-level debug|info
            How much is said (default info). [CYBORG_SERVER_LOG_LEVEL]
        --behind-tls-proxy, --no-behind-tls-proxy
            TLS ends before this server (default false). [CYBORG_SERVER_BEHIND_TLS_PROXY]
        --grace DURATION
            Time for requests in flight (0 to 3600 seconds; default 30). [CYBORG_SERVER_GRACE]
        --listen ADDRESS:PORT
            Where to listen (may be repeated; default 127.0.0.1:6680). [CYBORG_SERVER_LISTEN]
        --config FILE
            Read options from this YAML file. [CYBORG_SERVER_CONFIG]
        --version
            Print the version.
        --help
            Print this.
      "
    `);
  });

  it('are a table for the reference', ({ expect }) => {
    expect(optionsMarkdown(program)).toMatchInlineSnapshot(`
      "| Flag | Environment | File | Type | Default | What |
      | --- | --- | --- | --- | --- | --- |
      | \`--state-dir\` | \`CYBORG_SERVER_STATE_DIR\` | \`state_dir\` | path | \`state\` | Where files are kept. |
      | \`--database-url\` | \`CYBORG_SERVER_DATABASE_URL\` | \`database_url\` | string | none | A PostgreSQL instead of the embedded one. |
      | \`--pool-size\` | \`CYBORG_SERVER_POOL_SIZE\` | \`pool_size\` | integer, 1 to 100 | \`20\` | Connections at most. |
      | \`--log-level\` | \`CYBORG_SERVER_LOG_LEVEL\` | \`log_level\` | \`debug\`, \`info\` | \`info\` | How much is said. |
      | \`--behind-tls-proxy\` | \`CYBORG_SERVER_BEHIND_TLS_PROXY\` | \`behind_tls_proxy\` | boolean | \`false\` | TLS ends before this server. |
      | \`--grace\` | \`CYBORG_SERVER_GRACE\` | \`grace\` | duration, 0 to 3600 seconds | \`30\` | Time for requests in flight. |
      | \`--listen\` | \`CYBORG_SERVER_LISTEN\` | \`listen\` | list, may be repeated | \`127.0.0.1:6680\` | Where to listen. |
      "
    `);
  });
});

describe('optionsOrExitCode', () => {
  const run = (argv: readonly string[]) => {
    const written: string[] = [];
    const outcome = optionsOrExitCode(program, {
      argv,
      env: {},
      cwd: '/',
      version: '1.2.3',
      stdout: (text) => written.push(`out: ${text}`),
      stderr: (text) => written.push(`err: ${text}`),
    });
    return { outcome, written };
  };

  it('ends with 2 and one line on stderr when an option is wrong', ({ expect }) => {
    const { outcome, written } = run(['--pool-size', '0']);
    expect(outcome).toEqual({ exitCode: 2 });
    expect(written).toEqual([
      'err: cyborg-server: --pool-size: "0" is not allowed; it must be an integer from 1 to 100.\n',
    ]);
  });

  it('ends with 0 after the version', ({ expect }) => {
    const { outcome, written } = run(['--version']);
    expect(outcome).toEqual({ exitCode: 0 });
    expect(written).toEqual(['out: cyborg-server 1.2.3\n']);
  });

  it('gives the options otherwise', ({ expect }) => {
    expect(run([]).outcome).toHaveProperty('options.poolSize', 20);
  });
});
