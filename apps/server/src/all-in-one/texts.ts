/** What `npm start` says on a terminal. */
import type { AllInOne } from './run.ts';

export function startedText({ url, stateDir, notes }: AllInOne, logPath: string): string {
  return lines([
    `Cyborg serves ${url}; waiting for its hosts …`,
    `  state  ${stateDir}`,
    `  log    ${logPath}`,
    ...notes.map((note) => `  note   ${note}`),
  ]);
}

export function readyText(
  { clientFile, qmpDir, url, stateDir }: AllInOne,
  { stateDir: givenStateDir, demo }: { stateDir: string | undefined; demo: boolean },
): string {
  const prefix = givenStateDir === undefined ? '' : `CYBORG_CONFIG=${stateDir}/client.yaml `;
  const command = (words: string): string => `  ${prefix}bin/cyborg ${words}`;
  return lines([
    '',
    'Ready.',
    `  connection file  ${clientFile}`,
    `  QMP sockets      ${qmpDir}  (give QEMU -qmp unix:${qmpDir}/NAME.sock,server=on,wait=off)`,
    `  API              ${url}/v3/docs`,
    ...(demo ? ['  The hosts demo-* are simulated.'] : []),
    '',
    'Next, in another shell:',
    command('driver-list'),
    command('accelerator-list'),
    command(demo ? 'instance-list' : 'service-list'),
    '',
    'Ctrl-C stops everything.',
  ]);
}

function lines(all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
