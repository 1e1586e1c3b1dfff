/** Reports every breath. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override async discover(backend: string): Promise<Json> {
    for (let count = 0; count < 2000; count += 1) this.notify('inventoryChanged', { backend });
    return await super.discover(backend);
  }
}

new Wrong().start();
