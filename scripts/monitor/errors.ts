/** The one error of the command line and its API: what failed, where, what to do. Never a secret, never a stack. */

/** Stable codes, told by `--json`; a function's own code is in {@link MonitorError.remoteCode}. */
export type MonitorErrorCode =
  /** The command line itself. */
  | "usage"
  /** A value that the inventory does not take. */
  | "invalid_value"
  /** Neither a local stack nor the three variables. */
  | "not_configured"
  /** Functions or hub do not answer. */
  | "unreachable"
  /** Key or password refused. */
  | "unauthorized"
  /** A function answered with an error, or not as agreed. */
  | "function_failed"
  | "hub_failed"
  /** No such project, job, channel or function. */
  | "not_found"
  /** More than one job fits. */
  | "ambiguous"
  /** A test alert did not get through. */
  | "not_sent"
  | "internal";

/** Extra facts about a {@link MonitorError}. */
export interface MonitorErrorOptions {
  /** What to do about it, one line each. */
  hints?: readonly string[];
  /** What was probably meant. */
  candidates?: readonly string[];
  /** Which monitor it was: what its connection was read from. */
  origin?: string;
  /** The code that a function answered with. */
  remoteCode?: string | undefined;
  /** Under which the function's log has it. */
  requestId?: string | undefined;
}

/** Thrown by everything that goes out; ends a command with exit code 2. */
export class MonitorError extends Error {
  readonly code: MonitorErrorCode;
  readonly hints: readonly string[];
  readonly candidates: readonly string[];
  readonly origin: string | undefined;
  readonly remoteCode: string | undefined;
  readonly requestId: string | undefined;

  constructor(code: MonitorErrorCode, message: string, options: MonitorErrorOptions = {}) {
    super(message);
    this.name = "MonitorError";
    this.code = code;
    this.hints = options.hints ?? [];
    this.candidates = options.candidates ?? [];
    this.origin = options.origin;
    this.remoteCode = options.remoteCode;
    this.requestId = options.requestId;
  }
}
