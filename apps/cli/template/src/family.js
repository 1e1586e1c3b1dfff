// What is special about these cards. Their ids are in manifest.json: default of `ids`.

/** Of the device, the deployable and the accelerator, in the API's and in Placement's words. */
export const family = {
  type: 'FPGA',
  vendor: 'Intel Corporation',
  model: 'FPGA card',
  resourceClass: 'FPGA',
  traits: ['CUSTOM_FPGA_INTEL'],
  service: 'fpga.compute',
};

/** @returns more facts for people, text by name. `fn.text(name)` reads one file of the card's folder in sysfs. */
export function infoOf(fn) {
  const names = ['current_link_speed', 'current_link_width', 'reset_method', 'revision'];
  const facts = names.map((name) => [name, fn.text(name)]);
  return Object.fromEntries(facts.filter(([, text]) => text !== undefined && text !== ''));
}

/** @returns `failed` with a reason withholds the card. A card that fell off the bus reads all ones. */
export function healthOf(fn) {
  const isThere = fn.config === undefined || fn.config.readUInt32LE(0) !== 0xffffffff;
  if (isThere) return { status: 'healthy', reason: null };
  return { status: 'failed', reason: 'the card does not answer on the bus' };
}
