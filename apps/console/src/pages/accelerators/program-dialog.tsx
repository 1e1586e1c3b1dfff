/** A program image or firmware into the card of an accelerator: from a file, or from Glance. */
import { Progress } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import { ActDialog } from '../../components/act-dialog.tsx';
import { FileField, TextField } from '../../components/fields.tsx';
import { Refused } from '../../components/outcomes.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { DialogProps } from './accelerator-dialog.tsx';
import { useProgramUpload, type Uploading } from './program-upload.ts';

const mebibyte = 1024 * 1024;
/** The server's own limit: it refuses more before it has read it, which a browser shows as a broken connection. */
const imageBytesMax = 256 * mebibyte;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const sha256Pattern = /^[0-9a-f]{64}$/;

export function ProgramDialog({ accelerator, close }: DialogProps): ReactElement {
  const { follow } = useToasts();
  const [file, setFile] = useState<File>();
  const [image, setImage] = useState('');
  const [sha256, setSha256] = useState('');
  const faults = faultsOf({ file, image, sha256 });
  const upload = useProgramUpload(faults.file === undefined ? file : undefined);
  const source = sourceOf(image, upload);
  const isComplete = source !== undefined && Object.values(faults).every((it) => it === undefined);
  const body = { ...source, ...(sha256 === '' ? {} : { sha256 }) };
  return (
    <ActDialog
      name="programAccelerator"
      title={`Program the card of ${accelerator.name}`}
      verb="Program"
      isDangerous
      args={isComplete ? { params: { id: accelerator.id }, body } : undefined}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <FileField
        id="program-file"
        label="Image"
        fault={faults.file}
        help="A file, up to 256 MiB. It is brought to the server at once and kept there for an hour; nothing is written before you say so."
        onChange={setFile}
      />
      <HowFar {...upload} />
      <TextField
        id="program-image"
        label="Or an image of Glance"
        value={image}
        onChange={setImage}
        fault={faults.image}
        help="Its id."
      />
      <TextField
        id="program-sha256"
        label="SHA-256 that it must have (optional)"
        value={sha256}
        onChange={setSha256}
        fault={faults.sha256}
        help="With another one nothing is written."
      />
      <p>
        It goes into the whole card: all of its accelerators are out until it is written. A writing
        that has begun cannot be cancelled.
      </p>
    </ActDialog>
  );
}

interface Typed {
  readonly file: File | undefined;
  readonly image: string;
  readonly sha256: string;
}

function faultsOf({ file, image, sha256 }: Typed): Record<keyof Typed, string | undefined> {
  const size = file?.size ?? 0;
  const imageFault = (): string | undefined => {
    if (image === '') return undefined;
    if (file !== undefined) return 'Give a file or an image of Glance, not both.';
    return uuidPattern.test(image)
      ? undefined
      : 'An id, such as 8fe851a5-00ea-4465-80f4-e5f9002cd774.';
  };
  return {
    file:
      size > imageBytesMax
        ? `It is ${Math.ceil(size / mebibyte)} MiB: an image has ${imageBytesMax / mebibyte} at most.`
        : undefined,
    image: imageFault(),
    sha256:
      sha256 === '' || sha256Pattern.test(sha256)
        ? undefined
        : '64 hexadecimal digits, in lower case.',
  };
}

function sourceOf(
  image: string,
  { uploaded }: Uploading,
): { readonly image_id: string } | { readonly upload_id: string } | undefined {
  if (image !== '') return { image_id: image };
  return uploaded === undefined ? undefined : { upload_id: uploaded.id };
}

function HowFar({ fraction, uploaded, error }: Uploading): ReactElement | null {
  if (error !== undefined) return <Refused error={error} />;
  if (fraction !== undefined) {
    return <Progress title="Brought to the server" value={Math.round(100 * fraction)} />;
  }
  if (uploaded === undefined) return null;
  const { name, size_bytes: bytes, sha256 } = uploaded;
  return (
    <p>
      {name} is there: {bytes} bytes, SHA-256 <code className="console-any-break">{sha256}</code>.
    </p>
  );
}
