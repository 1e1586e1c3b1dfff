/** Live progress of an operation on stderr: a spinner on a terminal, else a line per change. */
import { printable } from '@cyborg/model/plain-text';
import type { Operation } from './wait.ts';

export interface Progress {
  update(operation: Operation): void;
  /** Leaves the last state on the screen. */
  end(operation: Operation): Promise<void>;
}

/** A reason can be as long as a driver likes; the whole of it is in operation-show. */
const reasonLettersMax = 200;

/** `attach-instance 1b9e…: running, 1 of 2 done`, and what keeps the rest if that is known. */
export function describeProgress(operation: Operation): string {
  const { id, kind, state, progress } = operation;
  const label = state === 'waiting' ? 'waiting for host' : state;
  const counts = progress.total > 0 ? `, ${progress.done} of ${progress.total} done` : '';
  return printable(`${kind} ${id}: ${label}${counts}${whyNotDone(operation)}`);
}

function whyNotDone({ results }: Operation): string {
  const waiting = results.find(({ outcome, message }) => outcome === 'pending' && message);
  if (typeof waiting?.message !== 'string') return '';
  const text = waiting.message.replaceAll(/\s+/gu, ' ');
  return `; ${text.length > reasonLettersMax ? `${text.slice(0, reasonLettersMax)}…` : text}`;
}

export function lineProgress(write: (line: string) => void): Progress {
  let last = '';
  const update = (operation: Operation): void => {
    const line = describeProgress(operation);
    if (line !== last) write(line);
    last = line;
  };
  return { update, end: async (operation) => update(operation) };
}

export async function spinnerProgress(
  stderr: NodeJS.WriteStream,
  first: Operation,
): Promise<Progress> {
  const { Listr, ListrLogger, ProcessOutput } = await import('listr2');
  const ended = Promise.withResolvers<Operation>();
  let show: (text: string) => void = () => undefined;
  const list = new Listr(
    {
      title: describeProgress(first),
      task: async (_context, task) => {
        show = (text) => void (task.title = text);
        const last = await ended.promise;
        show(describeProgress(last));
        if (last.state !== 'succeeded') throw new Error(describeProgress(last));
      },
    },
    {
      exitOnError: false,
      registerSignalListeners: false,
      renderer: 'default',
      rendererOptions: {
        showErrorMessage: false,
        collapseErrors: false,
        logger: new ListrLogger({ processOutput: new ProcessOutput(stderr, stderr) }),
      },
    },
  );
  const done = list.run();
  return {
    update: (operation) => show(describeProgress(operation)),
    end: async (operation) => {
      ended.resolve(operation);
      await done;
    },
  };
}
