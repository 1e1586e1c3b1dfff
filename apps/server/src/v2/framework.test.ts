import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD' | 'OPTIONS';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

describe('a v2 request', () => {
  let server: TestApp;
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase());
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  const ask = async (
    method: Method,
    url: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> => {
    const answer = await server.app.inject({
      method,
      url,
      headers: { authorization: basicAuth('admin'), ...headers },
    });
    return { status: answer.statusCode, headers: answer.headers, text: answer.body };
  };
  const message = ({ text }: Answer): string =>
    (JSON.parse(text) as { error_message: string }).error_message;

  it('of the discovery documents needs no credentials', async ({ expect }) => {
    for (const url of ['/v2', '/v2/', '/v2.json', '/accelerator/v2', '/accelerator/v2/']) {
      const answer = await server.app.inject({ url, headers: { host: 'api.test:6680' } });
      expect(answer.statusCode, url).toBe(200);
      expect(answer.json(), url).toEqual({
        id: 'v2.0',
        links: [{ href: 'http://api.test:6680/accelerator/v2/', rel: 'self' }],
        max_version: '2.3',
        min_version: '2.0',
        status: 'CURRENT',
      });
    }
    const root = await server.app.inject({ url: '/', headers: { host: 'api.test' } });
    expect(root.json()).toMatchObject({
      name: 'OpenStack Cyborg API',
      versions: [
        {
          id: 'v2',
          status: 'CURRENT',
          max_version: '2.3',
          min_version: '2.0',
          links: [{ href: 'http://api.test/accelerator/v2', rel: 'self' }],
        },
        { id: 'v3' },
      ],
      default_version: { id: 'v2' },
    });
    expect(root.headers['openstack-api-version']).toBeUndefined();
    expect(root.headers['x-openstack-request-id']).toMatch(/^req-[0-9a-f-]{36}$/);
  });

  it('without credentials is asked for them in words of its own, before its route is looked for', async ({
    expect,
  }) => {
    for (const url of ['/v2/devices', '/devices', '/v2/no-such', '/accelerator/v2/devices']) {
      const answer = await server.app.inject({ url });
      expect(answer.statusCode, url).toBe(401);
      expect(answer.headers['www-authenticate']).toContain('Basic');
      expect(answer.json()).toEqual({
        error: {
          code: 401,
          title: 'Unauthorized',
          message: 'The request you have made requires authentication.',
        },
      });
    }
  });

  it('is told the microversion that it got', async ({ expect }) => {
    for (const [given, used] of [
      [undefined, '2.0'],
      ['accelerator 2.2', '2.2'],
      ['ACCELERATOR 2.3', '2.3'],
      ['accelerator 2.03', '2.3'],
      ['accelerator latest', '2.3'],
      ['compute 2.90, accelerator 2.1', '2.1'],
      ['2.3', '2.3'],
      ['latest', '2.3'],
      ['compute 2.90', '2.0'],
    ] as const) {
      const headers = given === undefined ? {} : { 'openstack-api-version': given };
      const answer = await ask('GET', '/v2', headers);
      expect(answer.status, given).toBe(200);
      expect(answer.headers, given).toMatchObject({
        'content-type': 'application/json',
        'openstack-api-version': `accelerator ${used}`,
        'openstack-api-minimum-version': '2.0',
        'openstack-api-maximum-version': '2.3',
        vary: 'OpenStack-API-Version',
      });
      expect(answer.headers['x-openstack-request-id']).toMatch(/^req-[0-9a-f-]{36}$/);
    }
  });

  it('for a microversion that does not exist is refused', async ({ expect }) => {
    const range = 'The supported version range is: [2.0, 2.3].';
    for (const [given, text] of [
      ['accelerator 2.4', `Version 2.4 was requested but the minor version is not supported`],
      ['accelerator 3.0', 'Mutually exclusive versions requested. Version 3.0 requested'],
    ] as const) {
      const answer = await ask('GET', '/v2/devices', { 'openstack-api-version': given });
      expect(answer.status, given).toBe(406);
      expect(message(answer)).toContain(text);
      expect(message(answer)).toContain(range);
      expect(answer.headers['openstack-api-maximum-version']).toBe('2.3');
      expect(answer.headers['openstack-api-version']).toBeUndefined();
    }
    for (const given of [
      'accelerator abc',
      'accelerator 2',
      'accelerator 2.1.0',
      'accelerator',
      '',
    ]) {
      const answer = await ask('GET', '/v2/devices', { 'openstack-api-version': given });
      expect(answer.status, given).toBe(406);
      expect(message(answer)).toContain('Invalid value for OpenStack-API-Version header');
      expect(answer.headers['openstack-api-maximum-version']).toBeUndefined();
    }
  });

  it('that goes nowhere is answered 404 or 405 in the form that it accepts', async ({ expect }) => {
    for (const [method, url, status] of [
      ['GET', '/v2/nothing', 404],
      ['PATCH', '/v2/deployables', 404],
      ['PATCH', '/v2/deployables/x', 405],
      ['GET', '/v2/devices/x/disable', 404],
      ['POST', '/v2/devices/x/explode', 405],
      ['POST', '/v2/devices', 405],
      ['HEAD', '/v2/devices', 405],
      ['PUT', '/v2/devices', 405],
      ['PUT', '/v2/device_profiles/x', 405],
    ] as const) {
      const answer = await ask(method, url);
      expect(answer.status, `${method} ${url}`).toBe(status);
      expect(answer.headers['content-type']).toBe('application/json');
    }
    expect(message(await ask('GET', '/v2/nothing'))).toBe(
      '404 Not Found\n\nThe resource could not be found.\n\n   ',
    );
    expect(message(await ask('POST', '/v2/devices'))).toBe(
      '405 Method Not Allowed\n\nThe method POST is not allowed for this resource. \n\n ',
    );
    const asJson = await ask('GET', '/v2/nothing', { accept: 'application/json' });
    expect(message(asJson)).toBe('{"code": 404, "title": "Not Found", "description": ""}');
    const asHtml = await ask('GET', '/v2/nothing', { accept: '*/*' });
    expect(message(asHtml)).toContain('<h1>404 Not Found</h1>');
    expect((await ask('GET', '/v2', { accept: 'text/html' })).status).toBe(406);
    expect(await ask('OPTIONS', '/v2/devices')).toMatchObject({ status: 200, text: '' });
  });

  it('whose URL or body cannot be used is refused in the same form', async ({ expect }) => {
    for (const url of ['/v2/devices/%zz', '/accelerator/v2/devices/%zz']) {
      const answer = await ask('GET', url);
      expect(answer.status, url).toBe(400);
      expect(JSON.parse(message(answer)), url).toMatchObject({ faultcode: 'Client' });
    }
    const large = await server.app.inject({
      method: 'POST',
      url: '/v2/device_profiles',
      headers: { authorization: basicAuth('admin'), 'content-type': 'application/json' },
      payload: `["${'x'.repeat(2 * 1024 * 1024)}"]`,
    });
    expect(large.statusCode).toBe(413);
    expect(JSON.parse(large.json<{ error_message: string }>().error_message)).toMatchObject({
      faultcode: 'Client',
      debuginfo: null,
    });
    const nested = await server.app.inject({
      method: 'POST',
      url: '/v2/device_profiles',
      headers: { authorization: basicAuth('admin'), 'content-type': 'application/json' },
      payload: '['.repeat(100) + ']'.repeat(100),
    });
    expect(nested.statusCode).toBe(400);
  });
});
