/** What `send-alert` needs of its surroundings. */
import type postgres from "postgres";
import type { Clock } from "../_shared/clock.ts";
import type { Log } from "../_shared/log.ts";

export interface SendAlertDeps {
  sql: postgres.Sql;
  log: Log;
  clock: Clock;
  config: {
    /** `host:port` of private hosts that alerts may go to. */
    outgoingAllowedHosts: readonly string[];
    /** Name under which the hub watches itself. Default: `thordata`. */
    hubProjectName?: string;
    /** The value of a function secret, as `env:NAME` refers to it. */
    secret(name: string): string | undefined;
  };
  /** Nothing new is begun after this instant. */
  deadline: Date;
  /** What a run may take on, in deliveries of one incident each. Default: what the CPU of a request allows. */
  effortLimit?: number;
  fetch?: typeof fetch;
  /** 0 to 1; spreads retries. */
  random?: () => number;
  /** Waits between two messages to one target, so that the vendor does not throttle us. */
  pause?: (milliseconds: number) => Promise<void>;
}
