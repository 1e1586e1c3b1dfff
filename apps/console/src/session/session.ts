/** Who is signed in. The session is a cookie that this page cannot read: here is only what the server says of it. */
import { consoleRoutes, type ConsoleSession, type SignIn } from '@cyborg/api-client/routes';
import type { Transport } from '@cyborg/api-client/transport';

export type Session = ConsoleSession;

export async function readSession(transport: Transport): Promise<Session> {
  const { method, url } = consoleRoutes.showSession;
  const { body } = await transport.request({ method, path: url });
  return body as Session;
}

/** @throws ApiError `not-authenticated` when the words are wrong. */
export async function signIn(transport: Transport, words: SignIn): Promise<Session> {
  const { method, url } = consoleRoutes.signIn;
  const { body } = await transport.request({ method, path: url, body: words });
  return body as Session;
}

export async function signOut(transport: Transport): Promise<void> {
  const { method, url } = consoleRoutes.signOut;
  await transport.request({ method, path: url });
}

export async function renewSession(transport: Transport): Promise<void> {
  const { method, url } = consoleRoutes.renew;
  await transport.request({ method, path: url });
}
