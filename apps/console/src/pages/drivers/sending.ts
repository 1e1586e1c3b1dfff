/** Sending a package: first to be looked at, then to be taken in. */
import { useEffect, useRef, useState } from 'react';

import { v3Routes } from '@cyborg/api-client/routes';

import { isRehearsal, type CarriedOut, type Rehearsal } from '../../api/act.ts';
import { nounsOfAct } from '../../api/nouns.ts';
import { sendFile } from '../../api/upload.ts';
import { useRefresh } from '../../live/live.tsx';

export type DriverVersion = CarriedOut<'uploadDriver'>;

export interface Chosen {
  readonly file: File;
  readonly signature: string | undefined;
}

export interface Progressing {
  readonly step: 'checking' | 'uploading' | undefined;
  readonly fraction: number;
  readonly rehearsal: Rehearsal | undefined;
  readonly error: Error | undefined;
}

export interface Sending extends Progressing {
  /** Undefined: it was refused, which `error` says. */
  readonly upload: () => Promise<DriverVersion | undefined>;
}

const atRest: Progressing = {
  step: undefined,
  fraction: 0,
  rehearsal: undefined,
  error: undefined,
};

/** Sends what is chosen as a rehearsal at once, and once more when it is told to. */
export function useSending(chosen: Chosen | undefined): Sending {
  const [state, setState] = useState<Progressing>(atRest);
  const running = useRef<AbortController | undefined>(undefined);
  const refresh = useRefresh();
  const { file, signature } = chosen ?? {};
  const send = async (step: 'checking' | 'uploading'): Promise<unknown> => {
    if (file === undefined) return undefined;
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    const tell = (more: Partial<Progressing>): void => {
      if (!signal.aborted) setState((before) => ({ ...before, ...more }));
    };
    tell({ step, fraction: 0, error: undefined });
    try {
      const body = await sendFile({
        path: v3Routes.uploadDriver.url,
        query: { signature, ...(step === 'checking' ? { dry_run: true } : {}) },
        file,
        mediaType: 'application/gzip',
        onProgress: (fraction) => tell({ fraction }),
        signal,
      });
      if (step === 'uploading') refresh.ofAct(nounsOfAct('uploadDriver'));
      tell({ step: undefined, ...(isRehearsal(body) ? { rehearsal: body } : {}) });
      return body;
    } catch (error) {
      const told = error instanceof Error ? error : new Error(String(error), { cause: error });
      tell({ step: undefined, error: told });
      return undefined;
    }
  };
  useEffect(() => {
    setState(atRest);
    void send('checking');
    return () => running.current?.abort();
    // What is chosen decides; `send` is another one with each rendering.
  }, [file, signature]);
  const upload = async (): Promise<DriverVersion | undefined> =>
    (await send('uploading')) as DriverVersion | undefined;
  return { ...state, upload };
}
