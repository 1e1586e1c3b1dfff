/** Everything a driver says is checked against the protocol's schemas before anybody sees it. */
import { Compile, type Validator } from 'typebox/compile';
import type { TSchema } from 'typebox';
import { findProblem as inWords } from '@cyborg/driver-sdk/json-schema';
import {
  agentRequests,
  driverNotifications,
  driverRequests,
  type AgentMethod,
  type DriverMethod,
  type DriverNotification,
  type DriverResult,
} from '@cyborg/driver-sdk/protocol';
import { DriverCallError } from './driver-error.ts';

const compiled = new Map<TSchema, Validator>();

function findProblem(
  schema: TSchema,
  value: unknown,
  where: 'params' | 'result',
): string | undefined {
  let validator = compiled.get(schema);
  if (validator === undefined) {
    validator = Compile(schema);
    compiled.set(schema, validator);
  }
  if (validator.Check(value)) return undefined;
  return inWords(schema, value, where) ?? `${where} is not as specified`;
}

/** @throws DriverCallError `nonsense` naming the first field that is wrong. */
export function checkResult<M extends DriverMethod>(
  method: M,
  result: unknown,
  label: string,
): DriverResult<M> {
  const problem = findProblem(driverRequests[method].result, result, 'result');
  if (problem === undefined) return result as DriverResult<M>; // this is the parser
  throw new DriverCallError(
    'nonsense',
    `Driver ${label} answered ${method} with something else than the protocol says: ${problem}`,
  );
}

export function checkNotification(name: DriverNotification, params: unknown): string | undefined {
  return findProblem(driverNotifications[name], params, 'params');
}

export function checkAgentParams(method: AgentMethod, params: unknown): string | undefined {
  return findProblem(agentRequests[method].params, params, 'params');
}
