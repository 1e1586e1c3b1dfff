/**
 * The protocol, clause by clause: what docs/reference/driver-protocol.md promises in each driver's name, and what a trial
 * of this kit tries. A test compares the two.
 */
import type { DriverMethod } from '@cyborg/driver-sdk/protocol';

export const clauses = {
  'D-FRAME-1': 'Only frames are written to stdout: header, empty line, one JSON message in UTF-8.',
  'D-FRAME-2': 'A frame may arrive in any number of pieces, and several in one.',
  'D-FRAME-3': 'Content-Length counts bytes, not characters.',
  'D-FRAME-4': 'Header names are compared without regard to case; unknown fields are ignored.',
  'D-FRAME-5': 'A message of up to 8 MiB is read.',
  'D-RPC-1': 'Every request is answered once, with its id and either `result` or `error`.',
  'D-RPC-2': 'An unknown request is answered with error -32601.',
  'D-RPC-3': 'An unknown notification is ignored.',
  'D-RPC-4': 'Parameters that are not as specified are refused with -32602 or 4003.',
  'D-RPC-5': 'Requests may be sent before earlier ones are answered.',
  'D-RPC-6':
    'A cancelled request is answered within 5 s; cancelling what is answered has no effect.',
  'D-RPC-7': 'An error has a code of the protocol or of JSON-RPC, and a message.',
  'D-INIT-1': '`initialize` tells who the driver is, as its package does, within 15 s.',
  'D-INIT-2': 'The driver picks a protocol version that was offered, or refuses with 4004.',
  'D-INIT-3': 'Before `initialize` every other request but `shutdown` is refused with an error.',
  'D-INIT-4': 'A backend that cannot be started does not keep the others from starting.',
  'D-INIT-5':
    'Kinds are unique, `config_schema` describes an object, `delegable` names keys of it.',
  'D-INIT-6': 'The driver works without a state folder.',
  'D-INST-1': '`install` may be repeated, dry or not, and answers the same.',
  'D-INST-2': 'A dry run changes nothing.',
  'D-INST-3': 'A wrong configuration or an unknown kind is refused with 4003.',
  'D-INST-4': '`uninstall` may be repeated; what was never installed is `ready`.',
  'D-INST-5': 'Requests for a backend that is not installed are refused with 4003.',
  'D-DISC-1':
    '`discover` answers the inventory of one backend, as specified, with names that Placement takes.',
  'D-DISC-2': 'Keys of devices, deployables and accelerators are unique within a backend.',
  'D-DISC-3': 'What did not change is told the same again, also by a new process.',
  'D-DISC-4': 'What is offered is free, pluggable and without a reason; what is not says why.',
  'D-DISC-5': 'A key stays with its hardware, whatever else comes, goes or changes its place.',
  'D-DISC-6': 'Missing trees give an empty inventory or an error, and the driver works on.',
  'D-PREP-1':
    '`prepare` answers a plan of a kind that the accelerator lists and the instance can plug.',
  'D-PREP-2': '`prepare` may be repeated, also by a new process, and answers the same plan.',
  'D-PREP-3': '`prepare` of an accelerator that is not there is refused with 4001.',
  'D-PREP-4': '`prepare` for an instance that cannot plug it is refused with 4004.',
  'D-PREP-5': 'Two accelerators never get one piece of hardware.',
  'D-PREP-6': '`prepare` of what the host uses is refused with 4005.',
  'D-REL-1': '`release` may be repeated, and succeeds for what was never prepared.',
  'D-REL-2': '`release` of an accelerator that is not there succeeds, or is refused with 4001.',
  'D-REL-3': '`release` and `clean` work in another process than `prepare` did.',
  'D-CLEAN-1': '`clean` may be repeated and answers at least one sentence of evidence.',
  'D-CLEAN-2': 'A cleaned accelerator can be prepared again.',
  'D-EPOCH-1':
    'An order with a lower epoch than an earlier one about the same accelerator is refused with 4003; the same epoch again is not.',
  'D-EPOCH-2': 'The epoch of one accelerator says nothing about another.',
  'D-UPD-1':
    'An announced `update` writes an image; it may be repeated, also by a new process after a kill in its middle.',
  'D-UPD-2': '`updateProgress` names what is under `update`, in percent that never fall.',
  'D-UPD-3':
    'An image that cannot be read, or has other bytes than `sha256` says, is refused with 4003, and nothing changes.',
  'D-UPD-4':
    'While an accelerator of the card is prepared `update` is refused with 4005; after `release` it is not.',
  'D-UPD-5': 'A cancelled `update` is answered within 5 s, and can be begun again.',
  'D-HIST-1': 'Any order of requests, cancellations and crashes leaves the driver working.',
  'D-HIST-2':
    'Use does not wear it out: many rounds of prepare, release and clean go like the first.',
  'D-KILL-1': 'Killed at any moment, it starts again and does what was asked.',
  'D-END-1': '`shutdown` is answered, and the process ends by itself with status 0 within 5 s.',
  'D-END-2': 'When its stdin is closed the process ends within 5 s, also in the middle of a frame.',
  'D-OPT-1': 'Announced capabilities answer as specified.',
  'D-OPT-2': 'Requests of capabilities that were not announced are refused with 4004 or -32601.',
  'D-ASK-1': 'The driver asks the agent only what the protocol has, as specified.',
  'D-ASK-2': 'An agent that refuses, or does not know a request, does no harm to the driver.',
  'D-NOTE-1': 'Notifications are as specified and name backends that the agent has named.',
  'D-LIM-1': 'No message is larger than 8 MiB.',
  'D-LIM-2': 'At most 200 messages per second that nobody asked for.',
  'D-LIM-3': 'At most 64 KiB per second on stderr.',
} as const satisfies Record<string, string>;

export type ClauseId = keyof typeof clauses;

/** The clause that an answer breaks which is not as specified. */
export const clauseOfResult = {
  initialize: 'D-INIT-1',
  install: 'D-INST-1',
  uninstall: 'D-INST-4',
  discover: 'D-DISC-1',
  prepare: 'D-PREP-1',
  release: 'D-REL-1',
  clean: 'D-CLEAN-1',
  update: 'D-UPD-1',
  stats: 'D-OPT-1',
  health: 'D-OPT-1',
  shutdown: 'D-END-1',
} as const satisfies Record<DriverMethod, ClauseId>;
