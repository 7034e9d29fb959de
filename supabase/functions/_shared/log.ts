/** Structured logs: one JSON object a line, as hosted Supabase indexes them. */

import { AppError } from "./errors.ts";
import { redact } from "./rules/redact.ts";

/** Facts of one log line. Values must be free of secrets: pass codes, names and counts, never URLs or keys. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A logger that adds its own fields (function, request id) to every line. */
export interface Log {
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** The same logger with more fields on every line. */
  with(fields: LogFields): Log;
}

/** What the log keeps of a failure: our own errors by their message, unforeseen ones by their stack, redacted. */
export function failureFields(error: unknown): LogFields {
  if (error instanceof AppError) return { code: error.code, message: error.message };
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  return { code: "internal", message: redact(text) };
}

/** Makes a logger that writes to the console, which is what the edge runtime collects. */
export function createLog(base: LogFields = {}): Log {
  const line = (level: string, event: string, fields: LogFields = {}) =>
    JSON.stringify({ level, event, ...base, ...fields });
  return {
    // deno-lint-ignore no-console
    info: (event, fields) => console.log(line("info", event, fields)),
    // deno-lint-ignore no-console
    warn: (event, fields) => console.warn(line("warn", event, fields)),
    // deno-lint-ignore no-console
    error: (event, fields) => console.error(line("error", event, fields)),
    with: (fields) => createLog({ ...base, ...fields }),
  };
}
