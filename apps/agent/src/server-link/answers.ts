/** What the server answers is checked here and trusted inside. */
import { Compile } from 'typebox/compile';
import { agentOperations } from '@cyborg/api-spec/agent';

const validators = {
  enroll: Compile(agentOperations.enroll.schema.response[201]),
  renewLease: Compile(agentOperations.renewLease.schema.response[200]),
  offerInventories: Compile(agentOperations.offerInventories.schema.response[200]),
  showDesired: Compile(agentOperations.showDesired.schema.response[200]),
  listHeld: Compile(agentOperations.listHeld.schema.response[200]),
} as const;

export class BadAnswer extends Error {
  override readonly name = 'BadAnswer';
}

/** @throws BadAnswer naming the first field that is wrong. */
export function checkAnswer(name: keyof typeof validators, answer: unknown): void {
  const validator = validators[name];
  if (validator.Check(answer)) return;
  const [first] = validator.Errors(answer);
  throw new BadAnswer(
    `The server's answer to ${name} is wrong at ${first?.instancePath || '/'}: ${first?.message ?? 'not as specified'}. Are server and agent of releases that fit?`,
  );
}
