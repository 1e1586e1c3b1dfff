/** The conductor's handlers by the names of the operations; a missing or mistyped one does not compile. */
import type { V3OperationName } from '@cyborg/api-spec/routes';
import type { V3Body, V3Params, V3Query } from '@cyborg/api-spec/v3';
import type { Handler, Input } from '@cyborg/conductor/handler';

/** An operation without a schema for it still has an (empty) object. */
type Given<T> = [T] extends [undefined] ? object : T;

export type V3Handlers = {
  readonly [Name in V3OperationName]: Handler<
    Input<Given<V3Params<Name>>, Given<V3Query<Name>>, V3Body<Name>>,
    unknown
  >;
};
