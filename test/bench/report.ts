/** Collects figures with their bounds and prints them; a missed bound makes the run exit 1. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly bound: { readonly kind: 'at-least' | 'at-most'; readonly value: number } | null;
}

export interface BenchReport {
  /** A figure without a bound is for people to read. */
  figure(figure: Figure): void;
  /** A part that cannot run here, with the way to run it. */
  skip(name: string, reason: string): void;
  note(line: string): void;
  /** Prints the last line; the exit status. */
  finish(): number;
}

export function makeBenchReport(print: (line: string) => void = console.log): BenchReport {
  const figures: Figure[] = [];
  const skipped: string[] = [];
  return {
    figure(figure) {
      figures.push(figure);
      print(
        `${isMet(figure) ? '  ' : '! '}${figure.name}: ${format(figure.value)} ${figure.unit}${boundText(figure)}`,
      );
    },
    skip(name, reason) {
      skipped.push(name);
      print(`  ${name}: skipped: ${reason}`);
    },
    note: (line) => print(`  ${line}`),
    finish() {
      const bounded = figures.filter(({ bound }) => bound !== null);
      const missed = bounded.filter((figure) => !isMet(figure));
      for (const figure of missed)
        print(`missed: ${figure.name}${boundText(figure)}, was ${format(figure.value)}`);
      print(
        `bench: ${bounded.length - missed.length} bounds met, ${missed.length} missed, ${skipped.length} skipped`,
      );
      return missed.length === 0 ? 0 : 1;
    },
  };
}

function isMet({ value, bound }: Figure): boolean {
  if (bound === null) return true;
  return bound.kind === 'at-least' ? value >= bound.value : value <= bound.value;
}

function boundText({ bound }: Figure): string {
  if (bound === null) return '';
  return ` (bound: ${bound.kind === 'at-least' ? 'at least' : 'at most'} ${format(bound.value)})`;
}

function format(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
