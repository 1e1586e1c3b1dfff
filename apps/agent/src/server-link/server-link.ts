/** The agent's one way to its server: the client with the current credential, and who this run of the agent is. */
import { createAgentClient, type AgentClient } from '@cyborg/api-client/agent';
import { createHttpClient, type HttpClient } from '@cyborg/api-client/http';
import { agentImageUrl, agentPackageUrl } from '@cyborg/api-spec/routes';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { traceHeaders } from '@cyborg/service/tracing';
import { agentDefaults } from '../limits.ts';
import { agentVersion } from '../version.ts';
import { checkAnswer } from './answers.ts';

export interface ServerLinkOptions {
  readonly baseUrl: string;
  /** PEM of the authority to trust. */
  readonly ca: string | undefined;
  /** UUID of this run of the agent. */
  readonly instance: string;
  readonly clock: Clock;
  readonly rng: Rng;
}

export class ServerLink {
  readonly instance: string;
  readonly #options: ServerLinkOptions;
  #http: HttpClient;
  #client: AgentClient;

  constructor(options: ServerLinkOptions) {
    this.#options = options;
    this.instance = options.instance;
    this.#http = this.#connect(undefined);
    this.#client = createChecked(this.#http);
  }

  get client(): AgentClient {
    return this.#client;
  }

  /** The bytes of a program image that this host is to write. @throws ApiError, ConnectionError */
  download(sha256: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const path = agentImageUrl.replace(':sha256', sha256);
    return this.#http.download({ path, signal });
  }

  /** The bytes of a driver package that this host is to run. @throws ApiError, ConnectionError */
  downloadPackage(sha512: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const path = agentPackageUrl.replace(':sha512', sha512);
    return this.#http.download({ path, signal });
  }

  useCredential(credential: string | undefined): void {
    this.#http.close();
    this.#http = this.#connect(credential);
    this.#client = createChecked(this.#http);
  }

  close(): void {
    this.#http.close();
  }

  #connect(credential: string | undefined): HttpClient {
    const { baseUrl, ca, clock, rng } = this.#options;
    return createHttpClient({
      baseUrl,
      ca,
      clock,
      rng,
      auth: credential === undefined ? { kind: 'none' } : { kind: 'bearer', token: credential },
      timeoutMs: agentDefaults.requestTimeoutMs,
      // The callers wait and try again themselves: each knows until when its request makes sense.
      retry: { totalMsMax: 0, firstContactMsMax: 0 },
      userAgent: `cyborg-agent/${agentVersion}`,
      headers: traceHeaders,
    });
  }
}

function createChecked(http: HttpClient): AgentClient {
  const client = createAgentClient(http);
  return {
    ...client,
    enroll: async (args) => checked('enroll', await client.enroll(args)),
    renewLease: async (args) => checked('renewLease', await client.renewLease(args)),
    offerInventories: async (args) =>
      checked('offerInventories', await client.offerInventories(args)),
    showDesired: async (args) => checked('showDesired', await client.showDesired(args)),
    listHeld: async (args) => checked('listHeld', await client.listHeld(args)),
  };
}

function checked<T>(name: Parameters<typeof checkAnswer>[0], answer: T): T {
  checkAnswer(name, answer);
  return answer;
}
