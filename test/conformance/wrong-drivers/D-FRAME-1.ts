/** Greets whoever reads its stdout. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override start(): void {
    process.stdout.write('Hello, I am a driver\n');
    super.start();
  }
}

new Wrong().start();
