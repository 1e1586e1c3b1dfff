/** Lives on when nobody is there to hear it. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override inputEnded(): void {
    setInterval(() => undefined, 1000);
  }
}

new Wrong().start();
