/** Edge functions: what is deployed, what is expected of one, and what was seen of it. Instants are epoch milliseconds. */
import { z } from "zod";

/** A function as a project's Management API lists it. */
export interface DeployedFunction {
  /** Supabase's id of it, by which logs name it. */
  functionId: string;
  slug: string;
  status: "ACTIVE" | "THROTTLED";
  version: number;
  deployedAt: number | null;
}

/** What every health check calls itself, so that no source counts it as an invocation. */
export const HEALTH_CHECK_AGENT = "supabase-job-monitor/1 (health check)";
/** How each version of {@link HEALTH_CHECK_AGENT} begins. */
export const HEALTH_CHECK_AGENT_PREFIX = "supabase-job-monitor/";

/** Who saw an invocation: the logs of the Management API, a log drain, the wrapper in the function itself. */
export const invocationSource = z.enum(["log", "drain", "wrapper"]);
export type InvocationSource = z.infer<typeof invocationSource>;

/** Invocations counted over some time. */
export interface InvocationCounts {
  invocations: number;
  /** Answered with 5xx, or thrown. */
  errors: number;
  /** Answered with 4xx: the callers' errors. */
  clientErrors: number;
  durationTotalMs: number;
  durationMaxMs: number;
}

/** The invocations of one function in one minute, as one source saw them. */
export interface InvocationMinute extends InvocationCounts {
  functionName: string;
  source: InvocationSource;
  /** Its beginning. */
  minute: number;
}

/** What a person expects of a function or webhook; `null`: the default. */
export interface Expectations {
  /** A URL, or where it is kept. */
  healthCheckUrl: string | null;
  /** `Name: vault:NAME`. */
  healthCheckHeader: string | null;
  /** `200`, `2xx`, `200, 404`. */
  healthCheckStatus: string | null;
  healthCheckBody: string | null;
  healthCheckTimeoutMs: number | null;
  healthCheckMaxMs: number | null;
  maxErrorPercent: number | null;
  minInvocations: number | null;
  maxSilenceMinutes: number | null;
}

/** Nothing expected, every threshold at its default. */
export const NO_EXPECTATIONS: Expectations = {
  healthCheckUrl: null,
  healthCheckHeader: null,
  healthCheckStatus: null,
  healthCheckBody: null,
  healthCheckTimeoutMs: null,
  healthCheckMaxMs: null,
  maxErrorPercent: null,
  minInvocations: null,
  maxSilenceMinutes: null,
};

/** What counts where a person says nothing. */
export const DEFAULTS = {
  healthCheckStatus: "2xx",
  healthCheckTimeoutMs: 10_000,
  healthCheckMaxMs: 5_000,
  /** Failed or slow health checks in a row. */
  healthCheckThreshold: 2,
  maxErrorPercent: 20,
  minInvocations: 10,
  /** Failed invocations in a row. */
  invocationThreshold: 3,
} as const;

/** What asking a health check's URL came to. It holds nothing of the answer's body. */
export type HealthAnswer =
  | { kind: "answered"; httpStatus: number; latencyMs: number; bodyMatched: boolean | null }
  | { kind: "timeout"; timeoutMs: number }
  | { kind: "unreachable" }
  /** It was not asked: the URL is refused or its secret is missing. Safe to show. */
  | { kind: "refused"; reason: string };

/** `unknown`: it could not be asked. */
export const healthCheckOutcome = z.enum(["success", "failed", "unknown"]);
export type HealthCheckOutcome = z.infer<typeof healthCheckOutcome>;

/** An answer and what it counts as. */
export interface JudgedHealthCheck {
  at: number;
  outcome: HealthCheckOutcome;
  httpStatus: number | null;
  latencyMs: number | null;
  /** What is wrong, safe to show; `null` where nothing is. */
  message: string | null;
  slow: boolean;
  /** Answers in a row that were no success. */
  failuresInARow: number;
  slowInARow: number;
}

/** The last health check of a function or webhook, as the hub keeps it. */
export interface HealthCheckState {
  checkedAt: number;
  outcome: HealthCheckOutcome;
  message: string | null;
  latencyMs: number | null;
  failuresInARow: number;
  slowInARow: number;
}

/** How far a project's invocation logs are known; `null`: not at all. */
export interface LogState {
  readFrom: number | null;
  readUntil: number | null;
  /** No request to the Management API's logs before. */
  notBefore: number | null;
  errorMessage: string | null;
  errorSince: number | null;
  drainedFrom: number | null;
  drainedUntil: number | null;
}

/** The last failure that a wrapper reported of a function. */
export interface LastFailure {
  at: number;
  httpStatus: number | null;
  errorName: string | null;
  errorMessage: string | null;
}

/** What the hub knows of one function or webhook besides its row of the inventory. */
export interface FunctionKnowledge {
  jobInventoryId: string;
  expectations: Expectations;
  /** A webhook that says itself that it ran: without a `health_check_url` its pings are judged, not here. */
  isHeartbeat: boolean;
  deployed: DeployedFunction | null;
  health: HealthCheckState | null;
  /** Of the last 24 hours: each source's newest minutes, as many as the error rate is taken of. */
  minutes: InvocationMinute[];
  /** Minutes that were not yet logged, likewise of each source. */
  newMinutes: InvocationMinute[];
  /** The newest minute with an invocation, whoever saw it. */
  lastInvocationAt: number | null;
  /** The first minute that its wrapper reported. */
  wrappedSince: number | null;
  lastFailure: LastFailure | null;
}

/** What the hub knows of a project's functions and webhooks. */
export interface EdgeKnowledge {
  logs: LogState;
  /** By `jobInventoryId`. */
  functions: Map<string, FunctionKnowledge>;
}

/** What a look at a project's edge functions brought back, besides what the hub knew. */
export interface EdgeFacts {
  /** `null`: nobody could or would ask the Management API. */
  deployed: DeployedFunction[] | null;
  /** By `jobInventoryId`; only those that were due. */
  healthAnswers: ReadonlyMap<string, HealthAnswer>;
  /** What reading the logs came to; `null`: they were not asked. */
  logs: LogReading | null;
}

/** Minutes read from the logs of the Management API. */
export interface LogReading {
  minutes: InvocationMinute[];
  /** Everything from here … */
  readFrom: number | null;
  /** … to here has been read; `null`: nothing was. */
  readUntil: number | null;
  notBefore: number | null;
  /** Why it was not read, or not to the end. */
  error: string | null;
}
