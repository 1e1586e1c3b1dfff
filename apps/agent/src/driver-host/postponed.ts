/** Nothing is wrong with what was asked for: the same again may work, as soon as the server answers. */
export class Postponed extends Error {
  override readonly name = 'Postponed';
}
