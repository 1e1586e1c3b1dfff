/**
 * Nova's versioned notifications from the cloud's RabbitMQ, as hints: which servers something has happened to. Whoever
 * misses one hears of it by asking Nova.
 *
 * @see https://docs.openstack.org/nova/latest/admin/notifications.html
 */
import { Connection } from 'rabbitmq-client';

import { asObject, asText, isObject, ShapeError } from './reader.ts';

export interface NotificationOptions {
  /** `amqp://user:password@host:5672/vhost`, or `amqps:`. */
  readonly url: string;
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca?: string | undefined;
  /** Names our queue; another one for each process. */
  readonly queue: string;
  readonly onServer: (id: string) => void;
  /** Once for each time that it begins, not for each attempt. */
  readonly onTrouble: (error: unknown) => void;
  readonly onConnected: () => void;
}

export const notificationLimits = {
  /** What RabbitMQ keeps for us while we are slow; the oldest go first. */
  messagesMax: 10_000,
  connectMs: 10_000,
  retryFirstMs: 1_000,
  retryMaxMs: 30_000,
  closeMs: 2_000,
} as const;

/** Of Nova's `control_exchange` and `versioned_notifications_topics`, as they are unless changed. */
const exchange = 'nova';
const keys = ['versioned_notifications.info', 'versioned_notifications.error'];

/**
 * Listens until disposed, with a queue of its own that goes when we do: those named after the keys are others', and a
 * consumer there would take messages from them. The exchange is Nova's to make; until it is there we try again.
 */
export function followNotifications(options: NotificationOptions): AsyncDisposable {
  const { url, ca, queue } = options;
  const connection = new Connection({
    url,
    connectionName: queue,
    connectionTimeout: notificationLimits.connectMs,
    retryLow: notificationLimits.retryFirstMs,
    retryHigh: notificationLimits.retryMaxMs,
    ...(ca === undefined ? {} : { tls: { ca } }),
  });
  let isInTrouble = false;
  const onError = (error: unknown): void => {
    if (!isInTrouble) options.onTrouble(error);
    isInTrouble = true;
  };
  connection.on('error', onError);
  const consumer = connection.createConsumer(
    {
      queue,
      noAck: true,
      queueOptions: {
        queue,
        exclusive: true,
        autoDelete: true,
        durable: false,
        arguments: { 'x-max-length': notificationLimits.messagesMax },
      },
      queueBindings: keys.map((routingKey) => ({ exchange, routingKey, queue })),
    },
    ({ body }) => {
      const id = serverOf(body);
      if (id !== undefined) options.onServer(id);
    },
  );
  consumer.on('error', onError);
  consumer.on('ready', () => {
    isInTrouble = false;
    options.onConnected();
  });
  return {
    async [Symbol.asyncDispose](): Promise<void> {
      const timer = setTimeout(() => connection.unsafeDestroy(), notificationLimits.closeMs);
      await Promise.all([consumer.close(), connection.close()]).catch(() => undefined);
      clearTimeout(timer);
    },
  };
}

/** @returns undefined for what is about no server, or has another shape: it is not ours to judge. */
export function serverOf(body: unknown): string | undefined {
  try {
    const outer = asObject(parsed(body), 'the message');
    const message = outer['oslo.message'];
    const notification = asObject(message === undefined ? outer : parsed(message), 'oslo.message');
    if (!asText(notification['event_type'], 'event_type').startsWith('instance.')) return undefined;
    const payload = asObject(notification['payload'], 'payload');
    const data = payload['nova_object.data'];
    return isObject(data) ? asText(data['uuid'], 'uuid') : undefined;
  } catch (error) {
    if (error instanceof ShapeError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function parsed(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return JSON.parse(value.toString('utf8'));
  return typeof value === 'string' ? JSON.parse(value) : value;
}
