/** Asks for an act that no agent has. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override async discover(backend: string): Promise<Json> {
    await this.ask('formatDisk', { backend });
    return await super.discover(backend);
  }
}

new Wrong().start();
