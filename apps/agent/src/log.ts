import type { Logger } from '@cyborg/service/logging';

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
