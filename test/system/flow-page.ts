/** docs/reference/request-flow.md, read: the steps of each table as trees, and the functions that it names. */
import type { SpanTree } from './traces.ts';

const stepPattern = /^\| (?<step>\d+(?:\.\d+)*) \| (?<service>[\w-]+) \| `(?<name>[^`]+)` \|/;

/** By the names in `<!-- spans: NAME -->`, which stands before a table. */
export function readFlows(page: string): Map<string, SpanTree[]> {
  const [, ...parts] = page.split('<!-- spans: ');
  return new Map(
    parts.map((part) => {
      const [name = '', rest = ''] = part.split(' -->', 2);
      const [, table = ''] = /\n\n((?:\|.*\n)+)/.exec(rest) ?? [];
      return [name, toTree(table.split('\n'), name)];
    }),
  );
}

interface Growing extends SpanTree {
  readonly children: Growing[];
}

function toTree(lines: readonly string[], flow: string): SpanTree[] {
  const top: Growing[] = [];
  const byStep = new Map<string, Growing>();
  for (const line of lines) {
    const { step, service, name } = stepPattern.exec(line)?.groups ?? {};
    if (step === undefined || service === undefined || name === undefined) continue;
    const span = { service, name, children: [] };
    byStep.set(step, span);
    const above = step.split('.').slice(0, -1).join('.');
    const siblings = above === '' ? top : byStep.get(above)?.children;
    if (siblings === undefined) throw new Error(`${flow}: step ${step} has no step ${above}`);
    siblings.push(span);
  }
  return top;
}

export interface NamedFunction {
  readonly path: string;
  readonly name: string;
}

/** Every `path#function`. */
export function readFunctions(page: string): NamedFunction[] {
  return [...page.matchAll(/`([\w./-]+\.ts)#(\w+)`/g)].map(([, path = '', name = '']) => ({
    path,
    name,
  }));
}

/** As a function, a method, private or not, or a value of that name. */
export function defines(source: string, name: string): boolean {
  const asFunction = `^(?:export )?(?:async )?function\\*? ${name}\\b`;
  const asMethod = `^\\s+(?:static )?(?:async )?#?${name}(?:<[^>]*>)?\\(.*(?:\\{|\\($|,$)|^\\s+(?:async )?#?${name}(?:<.*>)?\\($`;
  return new RegExp(`${asFunction}|${asMethod}`, 'm').test(source);
}
