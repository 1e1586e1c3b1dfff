/** Ends when the agent refuses something. */
import { RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override async ask(method: string, params: Json): Promise<Json> {
    const answer = await super.ask(method, params);
    if (answer['error'] !== undefined) process.exit(1);
    return answer;
  }
}

new Wrong().start();
