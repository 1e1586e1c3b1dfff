import { describe, it } from 'vitest';

import { checkListenRules, parseListen } from './listen-rules.ts';
import type { ListenChoice } from './listen-rules.ts';

const choice = (given: Partial<ListenChoice>): ListenChoice => ({
  listen: ['127.0.0.1:6680'],
  tlsCert: undefined,
  tlsKey: undefined,
  behindTlsProxy: false,
  auth: 'http_basic',
  ...given,
});

describe('parseListen', () => {
  it.for([
    ['127.0.0.1:6680', { host: '127.0.0.1', port: 6680 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['localhost:80', { host: 'localhost', port: 80 }],
    ['cloud.example:443', { host: 'cloud.example', port: 443 }],
    ['6680', undefined],
    [':6680', undefined],
    ['127.0.0.1:70000', undefined],
    ['127.0.0.300:80', undefined],
    ['[::zz]:80', undefined],
    ['::1:80', undefined],
    ['a b:80', undefined],
  ] as const)('reads %s', ([text, expected], { expect }) => {
    expect(parseListen(text)).toEqual(expected);
  });
});

describe('checkListenRules', () => {
  it('lets loopback be served without TLS and without authentication', ({ expect }) => {
    for (const listen of ['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', 'localhost:1']) {
      expect(checkListenRules(choice({ listen: [listen], auth: 'none' }))).toHaveLength(1);
    }
  });

  it('refuses other addresses without TLS or a proxy that ends it', ({ expect }) => {
    for (const listen of [
      '0.0.0.0:1',
      '[::]:1',
      '192.0.2.1:1',
      'cloud.example:1',
      '[::ffff:192.0.2.1]:1',
    ]) {
      expect(() => checkListenRules(choice({ listen: ['127.0.0.1:1', listen] }))).toThrow(
        `--listen ${listen} is not loopback`,
      );
      expect(checkListenRules(choice({ listen: [listen], behindTlsProxy: true }))).toHaveLength(1);
    }
  });

  it('refuses other addresses without authentication, also with TLS', ({ expect }) => {
    const open = choice({ listen: ['0.0.0.0:1'], tlsCert: 'c', tlsKey: 'k', auth: 'none' });
    expect(() => checkListenRules(open)).toThrow('--auth none would make everybody there admin');
  });

  it('wants certificate and key together', ({ expect }) => {
    expect(() => checkListenRules(choice({ tlsCert: 'c' }))).toThrow('--tls-key is missing');
    expect(() => checkListenRules(choice({ tlsKey: 'k' }))).toThrow('--tls-cert is missing');
  });
});
