/** Lines of QMP, checked at the door. */
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';

export interface QmpEvent {
  readonly name: string;
  /** The id of the device that the event is about, where it is about one. */
  readonly device: string | null;
}

export type QmpMessage =
  | { readonly kind: 'greeting' }
  | { readonly kind: 'event'; readonly event: QmpEvent }
  | { readonly kind: 'return'; readonly id: string; readonly value: unknown }
  | {
      readonly kind: 'error';
      readonly id: string;
      readonly errorClass: string;
      readonly description: string;
    };

const GreetingSchema = Type.Object({ QMP: Type.Object({}) });
const EventSchema = Type.Object({
  event: Type.String(),
  data: Type.Optional(
    Type.Object({ device: Type.Optional(Type.String()), path: Type.Optional(Type.String()) }),
  ),
});
const ReturnSchema = Type.Object({ return: Type.Unknown(), id: Type.String() });
const ErrorSchema = Type.Object({
  id: Type.String(),
  error: Type.Object({ class: Type.String(), desc: Type.String() }),
});

/** A device that somebody gave an id: some events name it by its path alone. */
const devicePath = /^\/machine\/peripheral\/([^/]+)$/;

function deviceIn(data: Static<typeof EventSchema>['data']): string | null {
  return data?.device ?? devicePath.exec(data?.path ?? '')?.[1] ?? null;
}

/** @returns null when it is not a line of QMP. */
export function parseLine(line: string): QmpMessage | null {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return null;
  }
  if (Value.Check(ReturnSchema, json)) return { kind: 'return', id: json.id, value: json.return };
  if (Value.Check(EventSchema, json)) {
    return { kind: 'event', event: { name: json.event, device: deviceIn(json.data) } };
  }
  if (Value.Check(GreetingSchema, json)) return { kind: 'greeting' };
  if (!Value.Check(ErrorSchema, json)) return null;
  const { class: errorClass, desc: description } = json.error;
  return { kind: 'error', id: json.id, errorClass, description };
}
