/** What a profile asks for, as the form has it and as v2's grammar writes it. */
export interface Group {
  readonly resourceClass: string;
  readonly amount: number;
  readonly traits: readonly string[];
}

export const emptyGroup: Group = { resourceClass: '', amount: 1, traits: [] };

export function toGroups(groups: readonly Group[]): Record<string, string>[] {
  return groups.map(({ resourceClass, amount, traits }) => ({
    [`resources:${resourceClass}`]: String(amount),
    ...Object.fromEntries(traits.map((trait) => [`trait:${trait}`, 'required'])),
  }));
}
