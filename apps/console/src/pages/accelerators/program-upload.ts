/** Bringing a program image to the server, where it is kept for an hour: nothing is written into any card by that. */
import { useEffect, useState } from 'react';

import { v3Routes } from '@cyborg/api-client/routes';

import type { CarriedOut } from '../../api/act.ts';
import { sendFile } from '../../api/upload.ts';

type ProgramUpload = CarriedOut<'uploadProgram'>;

export interface Uploading {
  /** From 0 to 1; undefined when nothing is on its way. */
  readonly fraction: number | undefined;
  readonly uploaded: ProgramUpload | undefined;
  readonly error: Error | undefined;
}

const atRest: Uploading = { fraction: undefined, uploaded: undefined, error: undefined };

/** Sends what is chosen at once; another choice gives the one before up. */
export function useProgramUpload(file: File | undefined): Uploading {
  const [state, setState] = useState<Uploading>(atRest);
  useEffect(() => {
    setState(atRest);
    if (file === undefined) return undefined;
    const ending = new AbortController();
    const { signal } = ending;
    const tell = (next: Uploading): void => {
      if (!signal.aborted) setState(next);
    };
    tell({ ...atRest, fraction: 0 });
    sendFile({
      path: v3Routes.uploadProgram.url,
      query: { name: file.name },
      file,
      mediaType: 'application/octet-stream',
      onProgress: (fraction) => tell({ ...atRest, fraction }),
      signal,
    }).then(
      (body) => tell({ ...atRest, uploaded: body as ProgramUpload }),
      (error: unknown) => tell({ ...atRest, error: toError(error) }),
    );
    return () => ending.abort();
  }, [file]);
  return state;
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error), { cause: error });
}
