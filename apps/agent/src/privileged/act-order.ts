/** What an agent and the process of a privileged act say to each other; both are our own code. */
import type { TakenFunction } from '@cyborg/api-spec/agent/desired';
import type { AgentResult, Roots } from '@cyborg/driver-sdk/protocol';
import type { DriverErrorCode } from '@cyborg/driver-sdk/protocol-constants';
import type { ActStep } from '../steps.ts';
import type { Binding, Shortened, Unprobed, VfCount } from './bindings.ts';

export interface ActOrder {
  readonly method: string;
  /** As checked against the protocol. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly roots: Roots;
  readonly backend: { readonly id: string; readonly name: string };
  /** Addresses in the backend's inventory. */
  readonly inventory: readonly string[];
  /** Keys of the backend's accelerators at the function; none where nobody has looked yet. */
  readonly accelerators?: readonly string[];
  /** What this agent bound and has not restored, of all backends. */
  readonly bindings: readonly Binding[];
  /** Cards whose new virtual functions get no kernel driver for now, by this agent's doing. */
  readonly unprobed: readonly Unprobed[];
  /** Cards that have virtual functions by an agent's doing. */
  readonly vfs?: readonly VfCount[];
  /** Functions of which the kernel knows a part of the reset methods for now, by this agent's doing. */
  readonly shortened: readonly Shortened[];
  /** Functions of the backend about which orders are being carried out. */
  readonly ordered: readonly string[];
  /** For adopt: what the ledger says is taken and this agent has not noted. */
  readonly taken: readonly TakenFunction[];
  /** An order about the function is being carried out. */
  readonly isOrdered: boolean;
}

export type OpenAnswer = AgentResult<'openNodes'>;

/** What the process asks before it touches anything. */
export type ActQuestion =
  | { readonly nodes: readonly string[] }
  /** A module, where host policy lets the agent load it. */
  | { readonly load: string }
  /** To be on disk before the act. */
  | { readonly keep: readonly Binding[] }
  | { readonly unprobed: Unprobed }
  | { readonly shortened: Shortened };

/** What is different afterwards, for the agent's notes. */
export interface ActChanges {
  readonly changed?: readonly Binding[];
  /** Addresses of notes that are done with. */
  readonly settled?: readonly string[];
  readonly unprobed?: Unprobed;
  /** Address of a card whose new virtual functions get their kernel drivers again. */
  readonly probed?: string;
  readonly shortened?: Shortened;
  /** Address of a function whose reset methods are all known to the kernel again. */
  readonly lengthened?: string;
  readonly vfs?: VfCount;
}

export interface ActDone extends ActChanges {
  readonly result: object;
}

export type ActFailure = {
  readonly code: DriverErrorCode;
  readonly message: string;
} & ActChanges;

export type FromChild =
  /** It begins this one. */
  | { readonly step: ActStep }
  | { readonly question: ActQuestion }
  | { readonly done: ActDone }
  | { readonly failed: ActFailure };

export type ToChild =
  | { readonly order: ActOrder }
  | { readonly reply: unknown }
  | { readonly refusal: string };
