import { ApiError, ConnectionError } from '@cyborg/api-client/errors';
import { describe, expect, it } from 'vitest';

import { toFailure } from './errors.ts';

const url = 'http://127.0.0.1:6680';
const refusal = (more: Partial<ConstructorParameters<typeof ApiError>[0]>): ApiError =>
  new ApiError({ status: 409, code: 'in-use', title: 'T', detail: 'It is in use.', ...more });
const messageOf = (error: unknown): string => toFailure(error, { url }).message;

describe('toFailure', () => {
  it('adds what the problem lists, unless its sentence has it already', () => {
    expect(messageOf(refusal({ extra: { users: ['vm-1', 'vm-2'] } }))).toBe(
      'It is in use. In use by: vm-1; vm-2.',
    );
    const told = refusal({ detail: 'No host x; nearest: node-1.', extra: { nearest: ['node-1'] } });
    expect(messageOf(told)).toBe('No host x; nearest: node-1.');
    const misses = [{ accelerator_id: 'a', name: 'gpu-0', why_not: ['held by vm-1', 'absent'] }];
    expect(messageOf(refusal({ extra: { nearest_misses: misses } }))).toBe(
      'It is in use. Nearest misses: gpu-0: held by vm-1, absent.',
    );
  });

  it('tells how to sign in, in the way of the server', () => {
    const detail = 'Credentials are missing or wrong. Send the password.';
    expect(messageOf(refusal({ status: 401, detail }))).toContain('Give --user and --password');
    const keystone = refusal({ status: 401, detail: 'Send a token of Keystone at http://k/v3.' });
    expect(messageOf(keystone)).toContain('Sign in with --os-cloud NAME');
    expect(messageOf(keystone)).not.toContain('--user');
  });

  it('ends 2 only where a choice or the usage is wrong', () => {
    expect(toFailure(refusal({ code: 'choice-needed' }), { url })).toMatchObject({ exitCode: 2 });
    expect(toFailure(refusal({ status: 400 }), { url })).toMatchObject({ exitCode: 1 });
  });

  it('is one line with control characters written out', () => {
    expect(messageOf(refusal({ detail: 'first\n  second \u001b[31m' }))).toBe(
      'first second \\u001b[31m.',
    );
  });

  it('does not repeat users that the sentence has named', () => {
    const users = [{ accelerator: 'crypto-0', instance_id: 'i-1', state: 'attached' }];
    const detail = 'In use: crypto-0 (attached by instance i-1).';
    expect(messageOf(refusal({ detail, extra: { users } }))).toBe(detail);
    expect(messageOf(refusal({ extra: { users } }))).toContain('In use by: accelerator crypto-0');
  });

  it('calls what is forbidden as it was typed', () => {
    const detail = 'backend:list is not allowed for bob (member); ask an administrator.';
    const error = refusal({ status: 403, code: 'forbidden', detail });
    expect(toFailure(error, { command: 'backend-list' }).message).toBe(
      "'cyborg backend-list' is not allowed for bob (member); ask an administrator.",
    );
  });

  it('calls a field as the command does', () => {
    const words = {
      args: { id: { help: '' } },
      flags: {
        function: { type: 'string', placeholder: 'F', help: '' },
        serviceHost: { type: 'string', placeholder: 'H', help: '' },
        driver: { type: 'string', placeholder: 'D', help: '' },
        label: { type: 'strings', placeholder: 'K=V', help: '' },
      },
    } as const;
    const say = (detail: string): string =>
      toFailure(refusal({ status: 400, code: 'invalid-input', detail }), { words }).message;
    expect(say('body.service_host: is wrong.')).toBe('--service-host: is wrong.');
    expect(say('query.driver_id: is wrong.')).toBe('--driver: is wrong.');
    expect(say('body.labels.a b: is wrong.')).toBe('--label.a b: is wrong.');
    expect(say('params.id: is wrong.')).toBe('<id>: is wrong.');
    expect(say('body.other: is wrong.')).toBe('other: is wrong.');
    expect(say('backend a@b is of kind virtual: `function` says which.')).toBe(
      'backend a@b is of kind virtual: --function says which.',
    );
  });

  it('lists choices with the ids to choose by', () => {
    const choices = [
      {
        driver_id: 'generic',
        type: 'CRYPTO',
        backend: 'h@virtual',
        free: 4,
        accelerators: [{ id: 'id-1', name: 'crypto-0' }],
      },
      { backend: 'h@two', accelerators: [{ id: 'id-2', name: 'crypto-0' }] },
    ];
    const error = refusal({
      code: 'choice-needed',
      detail: 'Choose: --accelerator.',
      extra: { choices },
    });
    expect(messageOf(error)).toBe(
      'Choose: --accelerator. Choices: generic CRYPTO on h@virtual, 4 free: crypto-0 (id-1); on h@two: crypto-0 (id-2).',
    );
  });

  it('names the request in the log for an error of the server', () => {
    const error = refusal({ status: 500, detail: 'Oh', requestId: 'req-7' });
    expect(messageOf(error)).toBe("Oh. The server's log has it as request req-7.");
  });

  it.each([
    ['refused', 'Is it running?'],
    ['unresolvable', 'has no address'],
    ['tls', 'No trusted connection'],
    ['lost', 'broke before an answer came'],
    ['timeout', 'did not answer in time'],
    ['malformed', 'Is a Cyborg server at'],
  ] as const)('tells the way out of a connection that is %s', (failure, text) => {
    const message = messageOf(new ConnectionError(failure, 'why; advice'));
    expect(message).toContain(text);
    expect(message).toContain(url);
  });
});
