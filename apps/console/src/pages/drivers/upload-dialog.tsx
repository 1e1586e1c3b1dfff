/** A package from a file: the server looks at all of it before it is taken in, and says what is wrong with it. */
import {
  Button,
  Form,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Progress,
} from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';
import { useNavigate } from 'react-router';

import { WouldHappen } from '../../components/act-dialog.tsx';
import { FileField } from '../../components/fields.tsx';
import { Refused } from '../../components/outcomes.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { useSending, type DriverVersion, type Progressing } from './sending.ts';

const mebibyte = 1024 * 1024;
/** The server refuses more before it has read it, which a browser shows as a broken connection. */
const packageBytesMax = 64 * mebibyte;

export function UploadDialog({ close }: { close: () => void }): ReactElement {
  const { say } = useToasts();
  const navigate = useNavigate();
  const [file, setFile] = useState<File>();
  const [signature, setSignature] = useState<string>();
  const fault =
    file !== undefined && file.size > packageBytesMax
      ? `It is ${Math.ceil(file.size / mebibyte)} MiB: a package has ${packageBytesMax / mebibyte} at most.`
      : undefined;
  const sending = useSending(
    file === undefined || fault !== undefined ? undefined : { file, signature },
  );
  const run = async (): Promise<void> => {
    const version = await sending.upload();
    if (version === undefined) return;
    close();
    say(`${version.driver_id} ${version.version} is there: ${nextStep(version)}.`);
    void navigate(`/drivers/${encodeURIComponent(version.driver_id)}`);
  };
  return (
    <Modal isOpen variant="medium" onClose={close} aria-label="Upload a driver package">
      <ModalHeader title="Upload a driver package" />
      <ModalBody>
        <Form onSubmit={(event) => event.preventDefault()}>
          <FileField
            id="upload-package"
            label="Package"
            isRequired
            accept=".tgz,.tar.gz,application/gzip"
            fault={fault}
            help="A .tgz as cyborg driver-pack makes it, up to 64 MiB."
            onChange={setFile}
          />
          <FileField
            id="upload-signature"
            label="Signature"
            accept=".sig"
            help="The .sig beside it, as cyborg driver-sign writes it."
            onChange={(chosen) => void readText(chosen).then(setSignature)}
          />
          <HowFar {...sending} />
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button
          variant="primary"
          isDisabled={sending.rehearsal?.would_succeed !== true || sending.step !== undefined}
          isLoading={sending.step === 'uploading'}
          onClick={() => void run()}
        >
          Upload
        </Button>
        <Button variant="link" onClick={close}>
          Cancel
        </Button>
      </ModalFooter>
    </Modal>
  );
}

async function readText(file: File | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : (await file.text()).trim();
}

function nextStep({ state }: DriverVersion): string {
  return state === 'approved' ? 'it is approved already' : 'approve it before it is installed';
}

const words = { checking: 'Sent to be looked at', uploading: 'Uploaded' } as const;

function HowFar({ step, fraction, rehearsal, error }: Progressing): ReactElement {
  return (
    <>
      {step !== undefined && <Progress title={words[step]} value={Math.round(100 * fraction)} />}
      {rehearsal !== undefined && <WouldHappen rehearsal={rehearsal} />}
      {error !== undefined && <Refused error={error} />}
    </>
  );
}
