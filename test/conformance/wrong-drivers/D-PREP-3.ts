/** Lets the agent try for ever what is not there. */
import { Refusal, RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override gone(key: string): Refusal {
    return new Refusal(4002, `no accelerator ${key} yet`);
  }
}

new Wrong().start();
