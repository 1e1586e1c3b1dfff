/** Refuses to install what is installed. */
import { Refusal, RightDriver, type Json } from './right.ts';

class Wrong extends RightDriver {
  override install(spec: Json, params: Json): Json {
    if (this.backends.has(String(spec['name']))) throw new Refusal(4003, 'already installed');
    return super.install(spec, params);
  }
}

new Wrong().start();
