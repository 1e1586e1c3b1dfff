/** What came of an act, said at the edge of the page; an operation is followed there to its end. */
import {
  Alert,
  AlertActionCloseButton,
  AlertGroup,
  Progress,
  ProgressSize,
} from '@patternfly/react-core';
import {
  createContext,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useState,
  type ReactElement,
  type ReactNode,
} from 'react';
import { Link } from 'react-router';

import { useRead } from '../api/read.ts';
import { operationTitle } from './operation-words.ts';

export interface Toasts {
  readonly say: (text: string) => void;
  readonly follow: (operationId: string) => void;
}

interface Toast {
  readonly number: number;
  readonly text?: string;
  readonly operationId?: string;
}

const ToastContext = createContext<Toasts | undefined>(undefined);
const toastsMax = 4;
const shownMs = 8_000;

let lastNumber = 0;

export function ToastProvider({ children }: { children: ReactNode }): ReactElement {
  const [toasts, setToasts] = useState<readonly Toast[]>([]);
  const add = useCallback((toast: Omit<Toast, 'number'>) => {
    lastNumber += 1;
    const added = { ...toast, number: lastNumber };
    setToasts((before) => [...before, added].slice(-toastsMax));
  }, []);
  const remove = useCallback((number: number) => {
    setToasts((before) => before.filter((toast) => toast.number !== number));
  }, []);
  const value = useMemo<Toasts>(
    () => ({ say: (text) => add({ text }), follow: (operationId) => add({ operationId }) }),
    [add],
  );
  return (
    <ToastContext.Provider value={value}>
      {children}
      <AlertGroup isToast isLiveRegion aria-label="What came of your acts">
        {toasts.map(({ number, text, operationId }) =>
          operationId === undefined ? (
            <Said key={number} text={text ?? ''} close={() => remove(number)} />
          ) : (
            <Followed key={number} id={operationId} close={() => remove(number)} />
          ),
        )}
      </AlertGroup>
    </ToastContext.Provider>
  );
}

export function useToasts(): Toasts {
  const toasts = useContext(ToastContext);
  if (toasts === undefined) throw new Error('useToasts needs a ToastProvider above it.');
  return toasts;
}

interface Closing {
  readonly close: () => void;
}

function Said({ text, close }: Closing & { text: string }): ReactElement {
  return (
    <Alert
      variant="success"
      title={text}
      timeout={shownMs}
      onTimeout={close}
      actionClose={<AlertActionCloseButton onClose={close} />}
    />
  );
}

const variants = {
  queued: 'info',
  running: 'info',
  waiting: 'warning',
  succeeded: 'success',
  failed: 'danger',
  cancelled: 'warning',
} as const;

function Followed({ id, close }: Closing & { id: string }): ReactElement {
  const { data: operation } = useRead('showOperation', { params: { id } });
  const state = operation?.state ?? 'queued';
  useEffect(() => {
    if (state !== 'succeeded') return undefined;
    const timer = setTimeout(close, shownMs);
    return () => clearTimeout(timer);
  }, [state, close]);
  const { done, total } = operation?.progress ?? { done: 0, total: 0 };
  const isOpen = state === 'queued' || state === 'running' || state === 'waiting';
  return (
    <Alert
      variant={variants[state]}
      title={operation === undefined ? 'Begun' : `${operationTitle(operation.kind)}: ${state}`}
      actionClose={<AlertActionCloseButton onClose={close} />}
      actionLinks={<Link to={`/operations/${id}`}>Show the operation</Link>}
    >
      {operation?.error}
      {isOpen && total > 0 && (
        <Progress
          value={(100 * done) / total}
          label={`${done} of ${total}`}
          size={ProgressSize.sm}
          aria-label={`${done} of ${total} done`}
        />
      )}
    </Alert>
  );
}
