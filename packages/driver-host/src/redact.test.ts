import { describe, it } from 'vitest';

import { plainLine, redact, secretsIn } from './redact.ts';

describe('redact', () => {
  it.for([
    ['login with password=hunter22 failed', 'login with password=*** failed'],
    ['{"token": "abc def", "port": 1}', '{"token": ***, "port": 1}'],
    ["OS_PASSWORD='it is long' set", 'OS_PASSWORD=*** set'],
    ['curl -H "Authorization: Bearer abc.def-123"', 'curl -H "Authorization: Bearer ***"'],
    ['api_key: 0123, next', 'api_key: ***, next'],
    ['started with --secret opensesame --port 3', 'started with --secret *** --port 3'],
    ['GET https://user:s3cret@host:8080/x', 'GET https://user:***@host:8080/x'],
    ['jwt eyJhbGciOiJIUzI1.eyJzdWIiOiIx.abc', 'jwt ***'],
    ['MIIEowIBAAKCAQEA7bq9Yl4m0Vd2PqV8Xz1s7jYyq0c3', '***'],
    ['a -----BEGIN RSA PRIVATE KEY----- MIIE -----END RSA PRIVATE KEY----- b', 'a *** b'],
  ] as const)('hides what %s tells', ([line, shown], { expect }) => {
    expect(redact(line)).toBe(shown);
  });

  it.for([
    '0000:21:00.0: reset by flr took 120 ms',
    'the token ring driver tokenizes nothing',
    'password authentication is not supported',
    'http://127.0.0.1:8080/metrics answered 404',
    'iommu_group=12 numa_node: 0',
  ])('leaves %s as it is', (line, { expect }) => {
    expect(redact(line)).toBe(line);
  });

  it('hides the values that a configuration keeps under telling names', ({ expect }) => {
    const config = {
      socket: '/run/spdk.sock',
      login: { user: 'operator', password: 'sesame street' },
      api_keys: ['k-123456', 'ab'],
    };
    const secrets = secretsIn(config);
    expect(secrets).toEqual(['sesame street', 'k-123456']);
    expect(redact('tried sesame street as operator on /run/spdk.sock', secrets)).toBe(
      'tried *** as operator on /run/spdk.sock',
    );
  });
});

describe('a plain line', () => {
  it('has no escapes, control characters or halves of characters, and is cut', ({ expect }) => {
    expect(plainLine('\u001B[31mred\u001B[0m\u0000 and\r', 500)).toBe('red  and');
    expect(plainLine(`${'x'.repeat(8)}😀`, 10)).toBe(`${'x'.repeat(8)}😀`);
    const cut = plainLine(`${'x'.repeat(8)}😀 and more`, 10);
    expect(cut).toBe(`${'x'.repeat(8)}\uFFFD…`);
    expect(cut.isWellFormed()).toBe(true);
  });
});
