/** What is needed of our Containerfile to do its steps without a container engine. */
export interface Instruction {
  /** `RUN`, `ADD`, `ENV` and so on. */
  readonly word: string;
  readonly rest: string;
}

/** Lines that end in a backslash go on; comments say nothing. */
export function parseContainerfile(text: string): Instruction[] {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .flatMap((line) => {
      const [, word, rest] = /^([A-Z]+) +(.*)$/.exec(line) ?? [];
      return word === undefined || rest === undefined ? [] : [{ word, rest: rest.trim() }];
    });
}
