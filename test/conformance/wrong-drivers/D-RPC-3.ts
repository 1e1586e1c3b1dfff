/** Ends over a notification that it does not know. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override notified(method: string): void {
    if (method !== '$/cancelRequest') process.exit(1);
  }
}

new Wrong().start();
