/** Nova's notifications, when the cloud's RabbitMQ is given: what happens to servers is heard of at once. */
import type { ConductorDeps } from '@cyborg/conductor/deps';
import { makeServerHints } from '@cyborg/conductor/nova/server-hints';
import { followNotifications } from '@cyborg/openstack/notifications';
import type { Logger } from '@cyborg/service/logging';

export interface NotificationSettings {
  /** With a password: never logged. */
  readonly url: string;
  readonly ca: string | undefined;
}

export function startNovaNotifications(
  deps: ConductorDeps,
  log: Pick<Logger, 'info' | 'warn'>,
  { url, ca }: NotificationSettings,
): AsyncDisposable {
  const hints = makeServerHints(deps);
  const following = followNotifications({
    url,
    ca,
    queue: `cyborg-${deps.replicaId}`,
    onServer: (id) => hints.hear(id),
    onConnected: () => log.info({}, "following Nova's notifications"),
    onTrouble: (error) =>
      log.warn(
        { err: withoutPassword(error, url) },
        "Nova's notifications cannot be followed now: Nova is asked instead",
      ),
  });
  return {
    async [Symbol.asyncDispose]() {
      await following[Symbol.asyncDispose]();
      await hints[Symbol.asyncDispose]();
    },
  };
}

function withoutPassword(error: unknown, url: string): string {
  const text = error instanceof Error ? error.message : String(error);
  const { password } = new URL(url);
  return password === '' ? text : text.replaceAll(password, '***');
}
