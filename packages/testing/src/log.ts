import type { StoreLog } from '@cyborg/store/log';

/** A log for tests: nothing, unless CYBORG_TEST_LOG is set. */
export const quietLog: StoreLog = {
  debug: print('debug'),
  info: print('info'),
  warn: print('warn'),
  error: print('error'),
};

function print(level: string): (fields: object, message: string) => void {
  return (fields, message) => {
    if (process.env['CYBORG_TEST_LOG']) console.error(level, message, fields);
  };
}
