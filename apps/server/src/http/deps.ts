/** What the HTTP part is given. */
import type { ConductorDeps } from '@cyborg/conductor/deps';
import type { V2Handlers } from '@cyborg/conductor/v2/handlers';
import type { V2Policy } from '@cyborg/model/v2/policy';
import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';
import type { Metrics } from '@cyborg/service/metrics';
import type { Rng } from '@cyborg/service/rng';

import type { Authenticator } from '../auth/authenticator.ts';
import type { AgentApi } from '../agent-api/agent-api.ts';
import type { Readiness } from '../readiness.ts';
import type { V3Handlers } from '../v3/handlers.ts';

export interface HttpDeps {
  /** Timers of the process. */
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /** For what is followed: operations and events. */
  readonly conductor: Pick<ConductorDeps, 'db' | 'wake' | 'clock' | 'limits'>;
  readonly authenticator: Authenticator;
  /** Otherwise only what those who run the server need. */
  readonly servesApi: boolean;
  readonly v2: V2Handlers;
  readonly v2Policy: V2Policy;
  readonly v3: V3Handlers;
  readonly agent: AgentApi;
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  /** Sets the gauges that are read when somebody looks. */
  readonly collectMetrics: () => Promise<void>;
  readonly bodyLimitBytes: number;
  /** Where the built console is; it need not be there. */
  readonly consoleDir: string;
  /** A session of the console that its user leaves alone for so long ends. */
  readonly consoleIdleSeconds: number;
  /** A proxy in front of us says who the client is, in its last X-Forwarded-For. */
  readonly isBehindProxy: boolean;
  /** Begins every link; otherwise what the client used does. */
  readonly publicUrl?: string | undefined;
}
