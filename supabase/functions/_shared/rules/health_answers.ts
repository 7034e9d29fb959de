/** What a health check's answer counts as, and when one is due. */
import {
  DEFAULTS,
  type Expectations,
  type HealthAnswer,
  type HealthCheckState,
  type JudgedHealthCheck,
} from "../domain/edge_function.ts";
import { parseSchedule, previousSlot } from "./schedule.ts";

/** What the person expects of the answer. */
type Expected = Pick<
  Expectations,
  "healthCheckStatus" | "healthCheckBody" | "healthCheckTimeoutMs" | "healthCheckMaxMs"
>;

/** Judges one answer, counting on from the last one. */
export function judgeHealthAnswer(
  answer: HealthAnswer,
  expected: Expected,
  before: HealthCheckState | null,
  at: number,
): JudgedHealthCheck {
  const message = faultOf(answer, expected);
  const failed = message !== null;
  const latencyMs = answer.kind === "answered" ? answer.latencyMs : null;
  const slow = !failed && latencyMs !== null &&
    latencyMs > (expected.healthCheckMaxMs ?? DEFAULTS.healthCheckMaxMs);
  return {
    at,
    outcome: answer.kind === "refused" ? "unknown" : failed ? "failed" : "success",
    httpStatus: answer.kind === "answered" ? answer.httpStatus : null,
    latencyMs,
    message,
    slow,
    failuresInARow: failed ? (before?.failuresInARow ?? 0) + 1 : 0,
    // a failure says nothing about how fast it would have been
    slowInARow: slow ? (before?.slowInARow ?? 0) + 1 : failed ? before?.slowInARow ?? 0 : 0,
  };
}

function faultOf(answer: HealthAnswer, expected: Expected): string | null {
  switch (answer.kind) {
    case "refused":
      return `its health check cannot be asked: ${answer.reason}`;
    case "unreachable":
      return "its health check cannot be reached";
    case "timeout":
      return `its health check did not answer within ${answer.timeoutMs} ms`;
    case "answered": {
      const wanted = expected.healthCheckStatus ?? DEFAULTS.healthCheckStatus;
      if (!statusMatches(answer.httpStatus, wanted)) {
        return `its health check answered ${answer.httpStatus} instead of ${wanted}`;
      }
      return answer.bodyMatched === false
        ? `its health check answered ${answer.httpStatus} without the text of health_check_body`
        : null;
    }
  }
}

/** Whether a status is among those of `200, 3xx`. */
export function statusMatches(status: number, wanted: string): boolean {
  return wanted.split(",").some((part) => {
    const one = part.trim();
    return one.endsWith("xx") ? Math.floor(status / 100) === Number(one[0]) : status === Number(one);
  });
}

/**
 * Whether a health check is due: at every look, or where a schedule is written, once for each of its slots (UTC). A
 * schedule that cannot be read is none.
 */
export function isHealthCheckDue(schedule: string | null, lastAt: number | null, now: number): boolean {
  if (schedule === null || lastAt === null) return true;
  const parsed = parseSchedule(schedule);
  if (parsed.kind === "interval") return now - lastAt >= parsed.seconds * 1000;
  if (parsed.kind !== "cron") return true;
  const slot = previousSlot(parsed, now + 1, "UTC");
  return slot !== null && slot > lastAt;
}
