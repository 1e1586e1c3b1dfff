import type { BackendReport } from '@cyborg/api-spec/agent/report';
import { describe, it } from 'vitest';

import { makeBackend } from '../../test/agent-under-test.ts';
import { Backend } from './backend.ts';

describe('a backend that is ready', () => {
  it('is not so for a newer wish before that was looked at, whatever is told meanwhile', ({
    expect,
  }) => {
    const told: BackendReport[] = [];
    const backend = new Backend(makeBackend({ generation: 1 }), (report) => told.push(report));
    backend.installedGeneration = 1;
    backend.takenGeneration = 1;
    backend.become('ready');

    backend.wanted = { ...backend.wanted, generation: 2 };
    backend.installedGeneration = 2;
    backend.repeat();
    backend.become('failed', 'it is gone');
    backend.takenGeneration = 2;
    backend.become('ready');

    expect(told.map(({ state, generation }) => `${state} ${generation}`)).toEqual([
      'ready 1',
      'ready 1',
      'failed 2',
      'ready 2',
    ]);
  });
});
