/** HTTP calls that cron jobs make by pg_net, and what became of them. Instants are epoch milliseconds. */
import { z } from "zod";

/**
 * What became of a call. `waiting`: it is in pg_net's queue, or in the batch that is on its way. `gone`: neither queued
 * nor answered, so its answer was kept too short or deleted. `ambiguous`: several answers, of which pg_net wrote one.
 */
const callState = z.enum([
  "answered",
  "timed out",
  "error",
  "waiting",
  "lost in a crash",
  "gone",
  "ambiguous",
]);

/** A call by `monitored.http_post()` and its kin, as the watched project tells of it. */
export const httpCall = z.object({
  callId: z.number().int(),
  /** As the command names it: a person's word. */
  job: z.string(),
  /** Role of the session. */
  calledBy: z.string(),
  method: z.string(),
  /** Without user, fragment and the values of the query. */
  url: z.string(),
  timeoutMs: z.number(),
  calledAt: z.number(),
  /** The same for all calls of one transaction. */
  transactionAt: z.number(),
  state: callState,
  statusCode: z.number().int().nullable(),
  /** What pg_net said where there was no answer. */
  errorMessage: z.string().nullable(),
  /** `ok` of a JSON body; `null`: it has none. */
  bodyOk: z.boolean().nullable(),
  /** Beginning of the body of an answer that says no. */
  excerpt: z.string().nullable(),
});
export type HttpCall = z.infer<typeof httpCall>;

/** pg_net's queue and its worker at one look. */
export const httpQueue = z.object({
  /** Requests that wait, with those on their way. */
  length: z.number().int(),
  firstId: z.number().nullable(),
  /** Longest timeout of them all; `null`: none waits, or one has no limit. */
  longestTimeoutMs: z.number().nullable(),
  /** `null`: may not be seen. */
  workerUp: z.boolean().nullable(),
  /** When the batch on its way began; `null`: there is none, or it may not be seen. */
  batchSince: z.number().nullable(),
  /** Requests in that batch. */
  inBatch: z.number().int(),
  /** Longest timeout in that batch; `null`: one has no limit. */
  batchTimeoutMs: z.number().nullable(),
});
export type HttpQueue = z.infer<typeof httpQueue>;

/** The answers of the last hour, also of calls that nobody keeps. */
export const httpAnswers = z.object({
  answers: z.number().int(),
  /** Status 400 and above, and errors. */
  failed: z.number().int(),
  timedOut: z.number().int(),
});
export type HttpAnswers = z.infer<typeof httpAnswers>;

/** What one look saw of a project's pg_net. */
export interface HttpFacts {
  queue: HttpQueue | null;
  lastHour: HttpAnswers | null;
  /** `null`: `install_http_calls.sql` was not run there, or it may not be read. */
  calls: HttpCall[] | null;
  /** Highest call id there is. */
  lastCallId: number | null;
  /** Why something of this could not be read, as SQLSTATE. */
  errors: string[];
}

/** A call that is to be read again, or one whose number is not there yet: its transaction may still be open. */
export interface OpenCall {
  callId: number;
  firstSeenAt: number;
}

/** Where reading of calls goes on, and what the queue looked like. */
export interface HttpReading {
  /** Highest call id read; `null`: none was. */
  callCursor: number | null;
  openCalls: OpenCall[];
  /** The first request of the queue at the last look, and since when it is the first. */
  queueFirstId: number | null;
  queueSince: number | null;
}

/** What became of all calls that one run made. Times are ISO 8601. */
export const recentCall = z.object({
  /** Id of the last of them. */
  callId: z.number().int(),
  runId: z.number().int().nullable(),
  calledAt: z.string(),
  outcome: z.enum(["success", "failed", "unknown"]),
  /** `lost` where nobody is to blame: a crash took the answer, or it was collected too late. */
  reason: z.enum(["answer", "error", "timeout", "lost", "ambiguous"]),
  calls: z.number().int(),
  /** One sentence, safe to show. */
  message: z.string(),
});
export type RecentCall = z.infer<typeof recentCall>;

/** Something doubtful about the HTTP calls in a job's command. */
export interface CommandWarning {
  code:
    | "http_other_project"
    | "http_function_unknown"
    | "http_function_removed"
    | "http_timeout_short"
    | "http_key_in_command"
    | "http_key_expired"
    | "http_outcome_unseen";
  /** `important`: it surely cannot work. */
  weight: "important" | "low";
  /** One sentence, safe to show: never the key. */
  message: string;
}
