/** Control and direction characters of what others wrote would act on the terminal that it is shown on. */
const unprintable =
  // oxlint-disable-next-line no-control-regex -- they are what is meant
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** For cells: a mark in the place of each. Tabs and line ends stay. */
export function printable(text: string): string {
  return text.replaceAll(unprintable, '\uFFFD');
}

/** For messages: written out, `\u001b`, so that the reader sees what was given. Tabs and line ends stay. */
export function escaped(text: string): string {
  return text.replaceAll(
    unprintable,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
