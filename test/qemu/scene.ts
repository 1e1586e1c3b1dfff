/** An installation, a guest beside it, and the acts that tests repeat. */
import { randomUUID } from 'node:crypto';

import { ApiError } from '@cyborg/api-client/errors';
import { eventually } from '@cyborg/testing/processes';

import { Guest, patientMs } from './guest.ts';
import type { Installation } from './installation.ts';
import { Witness } from './witness.ts';

export class Scene implements AsyncDisposable {
  cyborg: Installation;
  readonly guest: Guest;
  readonly witness: Witness;

  private constructor(cyborg: Installation, guest: Guest, witness: Witness) {
    this.cyborg = cyborg;
    this.guest = guest;
    this.witness = witness;
  }

  /** A guest whose machine runs and is listed; it may be booting still. */
  static async open(cyborg: Installation, name: string): Promise<Scene> {
    const { qmpDir: qmpDirectory, stateDir } = cyborg;
    const more = Witness.arguments(stateDir, name);
    const guest = new Guest({ name, qmpDirectory, uuid: randomUUID(), project: 'demo', more });
    try {
      const scene = new Scene(cyborg, guest, await Witness.of(stateDir, name));
      const params = { instance_id: guest.uuid };
      await eventually(async () => (await cyborg.admin()).showInstance({ params }), {
        timeoutMs: patientMs,
        what: `${name} is listed`,
        context: () => guest.lines.join('\n'),
      });
      return scene;
    } catch (error) {
      await guest.kill();
      throw error;
    }
  }

  /**
   * Asks for one of the profile, again while its backend is stale or its host is down: of what was killed a moment ago
   * the server may hear only now. @returns the operation's id.
   */
  async attach(profile = 'rng'): Promise<string> {
    const api = await this.cyborg.admin();
    const params = { instance_id: this.guest.uuid };
    const answer = await eventually(
      () => api.createAttachments({ params, body: { profile } }).catch(unlessStale),
      {
        timeoutMs: patientMs,
        what: `one of ${profile} is given`,
        context: () => this.cyborg.logs(),
      },
    );
    if (answer instanceof Error) throw answer;
    if (!('id' in answer)) throw new Error('a dry run');
    return answer.id;
  }

  /** Asks for all back. @returns the operation's id. */
  async detach(): Promise<string> {
    const api = await this.cyborg.admin();
    const answer = await api.deleteAttachments({ params: { instance_id: this.guest.uuid } });
    if (!('id' in answer)) throw new Error('a dry run');
    return answer.id;
  }

  /** How the operation ended, and when. */
  async endOf(operation: string): Promise<{ state: string; at: Date }> {
    const api = await this.cyborg.admin();
    const { state, finished_at: at } = await api.showOperation({ params: { id: operation } });
    return { state, at: new Date(at ?? Number.NaN) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.witness[Symbol.dispose]();
    await this.guest.kill();
  }
}

/** @returns any other refusal, which asking again would not change. */
function unlessStale(error: unknown): Error | undefined {
  const mayPass = error instanceof ApiError && /is stale|is down: its agent/.test(error.message);
  if (mayPass) return undefined;
  return error instanceof Error ? error : new Error(String(error));
}

export async function createProfiles(cyborg: Installation): Promise<void> {
  const api = await cyborg.admin();
  for (const [name, function_] of [
    ['rng', 'ENTROPY'],
    ['aes', 'CRYPTO'],
  ] as const) {
    const groups = [{ [`resources:CUSTOM_CYBORG_${function_}`]: '1' }];
    await api.createProfile({ body: { name, groups } });
  }
}
