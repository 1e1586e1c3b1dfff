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
  { clientFile, command: program, qmpDir, url }: AllInOne,
  { demo }: { demo: boolean },
): string {
  const command = (words: string): string => `  ${program} ${words}`;
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

/** The CLI as it is typed in the checkout; it finds its connection file by itself in the default place. */
export function commandWords(clientFile: string | undefined): string {
  return clientFile === undefined ? 'bin/cyborg' : `CYBORG_CONFIG=${clientFile} bin/cyborg`;
}

function lines(all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
