/** Looks into a guest's machine by a QMP socket of its own, which the agent does not know. */
import { join } from 'node:path';

import { QmpConnection } from '@cyborg/agent/hypervisors/qemu/qmp';
import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';
import Type from 'typebox';
import { Parse } from 'typebox/value';

import { patientMs } from './guest.ts';

const ChildrenSchema = Type.Array(Type.Object({ name: Type.String() }));

export class Witness implements Disposable {
  readonly #qmp: QmpConnection;

  private constructor(qmp: QmpConnection) {
    this.#qmp = qmp;
  }

  static path(folder: string, name: string): string {
    return join(folder, `${name}.witness`);
  }

  /** For labs/guest/run: QEMU listens there too. */
  static arguments(folder: string, name: string): string[] {
    return ['--', '-qmp', `unix:${Witness.path(folder, name)},server=on,wait=off`];
  }

  static async of(folder: string, name: string): Promise<Witness> {
    const path = Witness.path(folder, name);
    return new Witness(
      await eventually(
        () => QmpConnection.open({ path, clock: systemClock, answerMsMax: patientMs }),
        {
          timeoutMs: patientMs,
          what: `QEMU listens on ${path}`,
        },
      ),
    );
  }

  /** Names of our devices that the machine has. */
  devices(): Promise<string[]> {
    return this.#names('/machine/peripheral', /^ua-cyborg-/);
  }

  /** Names of our devices' backends. */
  async backends(): Promise<string[]> {
    const names = await this.#names('/objects', /^be-ua-cyborg-/);
    return names.map((name) => name.slice('be-'.length));
  }

  async #names(path: string, pattern: RegExp): Promise<string[]> {
    const children = Parse(ChildrenSchema, await this.#qmp.execute('qom-list', { path }));
    return children
      .map(({ name }) => name)
      .filter((name) => pattern.test(name))
      .toSorted();
  }

  /** Resolves when a device is there that was not there before. */
  async plugged(before: readonly string[]): Promise<void> {
    await eventually(async () => (await this.devices()).some((name) => !before.includes(name)), {
      timeoutMs: patientMs,
      pauseMs: 1,
      what: 'the guest gets a device',
    });
  }

  /** Resolves when the guest has let go of a device. */
  deleted(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const listening = this.#qmp.onEvent(({ name, device }) => {
      if (name !== 'DEVICE_DELETED' || device?.startsWith('ua-cyborg-') !== true) return;
      listening[Symbol.dispose]();
      resolve();
    });
    return promise;
  }

  [Symbol.dispose](): void {
    this.#qmp[Symbol.dispose]();
  }
}
