import {
  Alert,
  Button,
  Card,
  CardBody,
  CardTitle,
  Form,
  FormGroup,
  TextInput,
} from '@patternfly/react-core';
import { ApiError } from '@cyborg/api-client/errors';
import type { SignIn } from '@cyborg/api-client/routes';
import { useState, type FormEvent, type ReactElement } from 'react';

import type { Session } from './session.ts';

export interface SignInPageProps {
  readonly auth: Session['auth'];
  /** The session before is over, and why this page is shown. */
  readonly wasSignedIn: boolean;
  readonly signIn: (words: SignIn) => Promise<void>;
}

export function SignInPage({ auth, wasSignedIn, signIn }: SignInPageProps): ReactElement {
  const [error, setError] = useState<Error>();
  const [isRunning, setIsRunning] = useState(false);
  const submit = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    setIsRunning(true);
    setError(undefined);
    try {
      await signIn(readWords(new FormData(event.currentTarget), auth));
    } catch (caught) {
      setError(caught instanceof Error ? caught : new Error(String(caught)));
      setIsRunning(false);
    }
  };
  return (
    <main className="console-sign-in">
      <Card>
        <CardTitle component="h1">Sign in to Cyborg</CardTitle>
        <CardBody>
          <Form onSubmit={(event) => void submit(event)}>
            {wasSignedIn && error === undefined && (
              <Alert isInline variant="info" title="Your session is over: sign in again." />
            )}
            {error !== undefined && <Refusal error={error} />}
            <Word name="user" label="User" autoComplete="username" />
            <Word name="password" label="Password" autoComplete="current-password" />
            {auth === 'keystone' && <Word name="project" label="Project" autoComplete="on" />}
            {auth === 'keystone' && (
              <Word name="domain" label="Domain" autoComplete="on" value="Default" />
            )}
            <Button type="submit" isBlock isLoading={isRunning} isDisabled={isRunning}>
              Sign in
            </Button>
          </Form>
        </CardBody>
      </Card>
    </main>
  );
}

function Refusal({ error }: { error: Error }): ReactElement {
  const title = error instanceof ApiError ? error.title : 'The server cannot be reached';
  return (
    <Alert isInline variant="danger" title={title} role="alert">
      {error.message}
    </Alert>
  );
}

interface WordProps {
  readonly name: string;
  readonly label: string;
  readonly autoComplete: string;
  readonly value?: string;
}

function Word({ name, label, autoComplete, value = '' }: WordProps): ReactElement {
  const id = `sign-in-${name}`;
  return (
    <FormGroup label={label} isRequired fieldId={id}>
      <TextInput
        id={id}
        name={name}
        isRequired
        defaultValue={value}
        autoComplete={autoComplete}
        type={name === 'password' ? 'password' : 'text'}
      />
    </FormGroup>
  );
}

function readWords(form: FormData, auth: Session['auth']): SignIn {
  const word = (name: string): string => {
    const value = form.get(name);
    return typeof value === 'string' ? value : '';
  };
  const basic = { user: word('user').trim(), password: word('password') };
  return auth === 'keystone'
    ? { ...basic, project: word('project').trim(), domain: word('domain').trim() }
    : basic;
}
