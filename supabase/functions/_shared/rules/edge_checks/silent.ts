/** Silent: calls were expected, and none came for too long, while somebody would have seen one. */
import { formatDuration } from "../text.ts";
import type { FunctionCheck, FunctionView } from "./check.ts";

export const silent: FunctionCheck = {
  code: "silent",
  evaluate(view) {
    const since = silentSince(view);
    const allowed = view.expectations.maxSilenceMinutes;
    if (view.job.removedAt !== null || allowed === null || since === null || view.watched === null) {
      return null;
    }
    const silence = view.watched.until - since;
    if (silence <= allowed * 60_000) return null;
    return {
      code: "silent",
      gravity: "outage",
      status: "missed",
      summary: `no invocation for ${formatDuration(silence)}, where one is expected at least every ${
        formatDuration(allowed * 60_000)
      }`,
      detail: { expectedAt: new Date(since + allowed * 60_000).toISOString() },
    };
  },
};

/** The last invocation, or since when one would have been seen; `null`: nobody would have seen any. */
export function silentSince({ watched, lastInvocationAt }: FunctionView): number | null {
  if (watched === null) return null;
  // what came before may have come in a time that nobody watched
  return Math.max(lastInvocationAt ?? 0, watched.from);
}
