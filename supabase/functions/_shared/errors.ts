/** The one error that I/O throws: names what failed and where, never a secret. */

/** Stable codes; the HTTP layer maps them to a status, incidents carry them as `code`. */
export type ErrorCode =
  // what a caller got wrong
  | "bad_request"
  | "unauthorized"
  | "not_found"
  | "method_not_allowed"
  | "too_large"
  // our own configuration
  | "config_invalid"
  | "secret_missing"
  | "url_refused"
  // a watched project
  | "unreachable"
  | "connect_timeout"
  | "wrong_credentials"
  | "project_paused"
  | "no_privilege"
  | "pg_cron_missing"
  | "read_timeout"
  | "read_failed"
  // the Management API
  | "management_api"
  // the hub
  | "hub_unreachable"
  | "hub_failed"
  | "conflict"
  // everything that nobody foresaw
  | "internal";

/** Extra facts about an {@link AppError}. */
export interface AppErrorOptions {
  /** Whether the same call may succeed later without anybody changing anything. Default `false`. */
  retryable?: boolean;
  /** The original error, for the logs only; never shown to a caller. */
  cause?: unknown;
  /** All faults of an input at once, one sentence each. */
  faults?: readonly string[];
}

/** An error whose message is safe to store, log and show: what failed, where, what to do. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly faults: readonly string[];

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.faults = options.faults ?? [];
  }
}

/** What a caller, a row or a log line may know of any thrown value. An unforeseen error keeps its text to itself. */
export function describeError(error: unknown): { code: ErrorCode; message: string } {
  if (error instanceof AppError) return { code: error.code, message: error.message };
  return { code: "internal", message: "Unexpected error; the function's log has it under this request id" };
}

/** Refusals of a request that are no trouble of ours: the answer says all. */
const CALLERS: ReadonlySet<ErrorCode> = new Set([
  "bad_request",
  "unauthorized",
  "method_not_allowed",
  "too_large",
]);

/** Whether a request failed by what its caller got wrong, so that no log needs to know. */
export function isCallersFault(error: unknown): boolean {
  return error instanceof AppError && CALLERS.has(error.code);
}
