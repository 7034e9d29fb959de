/**
 * What goes wrong in our functions, told to Sentry as well as to the log. Without the secret `SENTRY_DSN` nothing of it is
 * loaded.
 *
 * It reads the environment itself: serving is the same for every function, and none should have to think of it.
 */
import type { Log, LogFields } from "../log.ts";
import { inBackground } from "./background.ts";

/** Reports of one log in a minute: what breaks for every job is one trouble, not a thousand. */
const REPORTS_LIMIT = 5;
/** What a caller got wrong, and what the next call sees to. */
const NOT_OURS = new Set([
  "bad_request",
  "unauthorized",
  "not_found",
  "method_not_allowed",
  "too_large",
  "conflict",
]);

/** A log whose errors are told to Sentry too, where one is set up; otherwise the same log. */
export function reportingLog(log: Log, functionName: string): Log {
  const dsn = Deno.env.get("SENTRY_DSN");
  return dsn === undefined || dsn === "" ? log : reporting(log, { functionName, dsn, minute: 0, told: 0 });
}

/** Reports of one log, of a request or of a process. */
interface Reports {
  functionName: string;
  dsn: string;
  /** The minute that counts, and what was told in it. */
  minute: number;
  told: number;
}

function reporting(log: Log, reports: Reports): Log {
  return {
    info: log.info,
    warn: log.warn,
    error(event, fields) {
      log.error(event, fields);
      const { code, message } = fields ?? {};
      if (typeof code !== "string" || typeof message !== "string" || NOT_OURS.has(code)) return;
      if (isTooMuch(reports)) return;
      inBackground(report(log, reports, event, { ...fields, code, message }));
    },
    with: (fields) => reporting(log.with(fields), reports),
  };
}

function isTooMuch(reports: Reports): boolean {
  const minute = Math.floor(Date.now() / 60_000);
  if (minute !== reports.minute) Object.assign(reports, { minute, told: 0 });
  return reports.told++ >= REPORTS_LIMIT;
}

async function report(
  log: Log,
  { functionName, dsn }: Reports,
  event: string,
  { code, message, ...extra }: LogFields & { code: string; message: string },
): Promise<void> {
  try {
    const { sendFailure } = await import("./sentry.ts");
    const refusal = await sendFailure(dsn, Deno.env.toObject(), {
      functionName,
      event,
      code,
      text: message,
      extra,
    });
    if (refusal !== null) log.warn("error not reported", { reason: refusal });
  } catch (error) {
    // whoever reports errors must not make any
    log.warn("error not reported", { reason: error instanceof Error ? error.name : "unknown" });
  }
}
