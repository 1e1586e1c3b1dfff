/** Taking work items for a while: a process that dies with them loses them at `until`. */
export interface Claim {
  readonly now: Date;
  readonly until: Date;
  /** Of this server process. */
  readonly by: string;
  readonly limit: number;
}
