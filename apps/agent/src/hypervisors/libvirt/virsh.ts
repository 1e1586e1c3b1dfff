/** libvirt through its own client, a child for each question: a libvirtd that hangs hangs only the child. */
import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';

import { HypervisorError, type HypervisorErrorCode } from '../hypervisor.ts';
import { hasCode } from '../node-error.ts';

export const virshLimits = {
  answerMsMax: 20_000,
  /** For handing a device over: all of the guest's memory may have to be locked for it. */
  actMsMax: 60_000,
  answerBytesMax: 64 * 1024 * 1024,
} as const;

export interface VirshOptions {
  /** libvirt's URI, such as `qemu:///system`. */
  readonly uri: string;
  readonly answerMsMax?: number;
}

interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  readonly failure: Error | null;
}

/** virsh's sentences are matched, so they must be the untranslated ones. */
const environment = { ...process.env, LC_ALL: 'C', LIBVIRT_DEBUG: '', LIBVIRT_LOG_OUTPUTS: '' };

const away =
  /failed to connect|cannot recv data|cannot write data|end of file while reading|connection refused|keepalive|client socket is closed|disconnected|connection reset|timed out/i;
const noDomain = /failed to get domain|domain not found/i;

export class Virsh {
  readonly #options: VirshOptions;

  constructor(options: VirshOptions) {
    this.#options = options;
  }

  /** One command. @throws HypervisorError */
  async run(
    command: readonly string[],
    signal: AbortSignal,
    { isAct = false } = {},
  ): Promise<string> {
    const ms = isAct ? virshLimits.actMsMax : undefined;
    const answer = await this.#ask(command, signal, ms);
    if (answer.failure === null) return answer.stdout;
    throw this.#toError(answer, `virsh ${command[0]}`);
  }

  /**
   * Many commands over one connection; the output of those that succeeded, each kind of failure but a lost connection
   * left out. @throws HypervisorError `unavailable`
   */
  async script(commands: readonly string[], signal: AbortSignal): Promise<string> {
    const answer = await this.#ask(['--quiet', commands.join('; ')], signal);
    if (answer.failure === null) return answer.stdout;
    const error = this.#toError(answer, 'virsh');
    if (error.code === 'unavailable') throw error;
    return answer.stdout;
  }

  /** A child that prints a line for each event until it is killed or libvirtd goes. */
  events(): ChildProcessWithoutNullStreams {
    const command = ['-c', this.#options.uri, 'event', '--loop', '--all'];
    return spawn('virsh', command, { env: environment, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  async #ask(command: readonly string[], signal: AbortSignal, actMsMax?: number): Promise<Answer> {
    const asked = Promise.withResolvers<Answer>();
    const child = execFile(
      'virsh',
      ['-c', this.#options.uri, ...command],
      {
        env: environment,
        signal,
        killSignal: 'SIGKILL',
        timeout: actMsMax ?? this.#options.answerMsMax ?? virshLimits.answerMsMax,
        maxBuffer: virshLimits.answerBytesMax,
      },
      (failure, stdout, stderr) => asked.resolve({ failure, stdout, stderr }),
    );
    child.stdin?.end();
    const answer = await asked.promise;
    signal.throwIfAborted();
    return answer;
  }

  #toError({ failure, stderr }: Answer, what: string): HypervisorError {
    const { uri } = this.#options;
    const error = (code: HypervisorErrorCode, message: string): HypervisorError =>
      new HypervisorError(code, message, { cause: failure });
    if (hasCode(failure, 'ENOENT')) {
      return error(
        'unavailable',
        'There is no virsh on this host: install libvirt-clients (RHEL: libvirt-client).',
      );
    }
    const said = stderr
      .trim()
      .replaceAll(/^error: /gm, '')
      .replaceAll('\n', ' ')
      .slice(0, 1000);
    if (failure !== null && 'killed' in failure && failure.killed === true) {
      return error('unavailable', `libvirt at ${uri} did not answer ${what} in time.`);
    }
    if (away.test(said) || said === '') {
      return error('unavailable', `libvirt at ${uri} cannot be asked: ${said || failure?.message}`);
    }
    if (noDomain.test(said)) return error('instance-gone', said);
    return error('refused', `libvirt refused ${what}: ${said}`);
  }
}
