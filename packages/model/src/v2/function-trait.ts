/** The trait that says what a program image makes of a card. */
const prefix = 'CUSTOM_FPGA_FUNCTION_ID_';
const traitCharsMax = 255;

/** As Placement takes it: upstream's `_-` for a hyphen is not a legal trait. */
export function functionTrait(driverId: string, functionId: string): string {
  const name = `${prefix}${driverId}_${functionId}`.toUpperCase();
  return name.replaceAll(/[^A-Z0-9_]/g, '_').slice(0, traitCharsMax);
}

/** A deployable's traits with that of its image, in place of any that was there. */
export function withFunctionTrait(
  traits: readonly string[],
  { driverId, functionId }: { readonly driverId: string; readonly functionId: string | null },
): readonly string[] {
  const others = traits.filter((trait) => !trait.startsWith(prefix));
  return functionId === null ? others : [...others, functionTrait(driverId, functionId)];
}
