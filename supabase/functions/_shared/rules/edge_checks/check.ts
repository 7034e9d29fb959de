/** What a check of edge functions is: a pure function from all that is known of one to a verdict, or nothing. */
import type {
  DeployedFunction,
  Expectations,
  HealthCheckState,
  LastFailure,
} from "../../domain/edge_function.ts";
import type { InventoryJob } from "../../domain/hub.ts";
import type { Verdict } from "../checks/check.ts";
import type { RecentInvocations } from "../invocations.ts";

export type { Verdict };

/** All that is known of one edge function or webhook at one look. Instants are epoch milliseconds, the hub's. */
export interface FunctionView {
  job: InventoryJob;
  expectations: Expectations;
  now: number;
  /** What the Management API says; `null` where it was never asked, or not of this one. */
  deployed: DeployedFunction | null;
  /** The newest health check: of this look, or the last one before. */
  health:
    | Pick<HealthCheckState, "outcome" | "message" | "latencyMs" | "failuresInARow" | "slowInARow">
    | null;
  /** The newest invocations of 24 hours. */
  recent: RecentInvocations | null;
  /** The newest invocation that is known at all. */
  lastInvocationAt: number | null;
  /** From when to when an invocation would have been seen; `null`: nobody would have. */
  watched: { from: number; until: number } | null;
  /** The last failure that its wrapper told, however old. */
  lastFailure: LastFailure | null;
}

/** One kind of fault; one file each, one line in the registry. */
export interface FunctionCheck {
  code: string;
  evaluate(view: FunctionView): Verdict | null;
}
