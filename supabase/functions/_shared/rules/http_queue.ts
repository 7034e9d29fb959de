/** Whether pg_net's queue stands still although its worker should move it. Waiting for a slow request is no fault. */
import type { HttpFacts, HttpQueue, HttpReading } from "../domain/http.ts";
import { formatDuration } from "./text.ts";

/** pg_net looks at its queue a second after each batch, and starts again a second after a crash. */
const MARGIN_MS = 60_000;
/** How long a batch without any timeout may last before somebody should look. */
const UNLIMITED_MS = 10 * 60_000;

/**
 * What is wrong with the queue in one sentence, or `null`. A batch on its way lasts as long as its slowest request may;
 * where there is none, or it may not be seen, the same request must have been the first for longer than that.
 *
 * @param now The project's clock, epoch milliseconds.
 */
export function stalledQueue(
  { queue, calls }: Pick<HttpFacts, "queue" | "calls">,
  before: HttpReading,
  now: number,
): string | null {
  if (queue === null || queue.firstId === null) return null;
  if (queue.batchSince !== null) return stalledBatch(queue, now - queue.batchSince);
  const since = sinceWhen(queue.firstId, calls, before);
  if (since === null) return null;
  const mayTakeMs = queue.workerUp === null ? queue.longestTimeoutMs ?? UNLIMITED_MS : 0;
  if (now - since <= mayTakeMs + MARGIN_MS) return null;
  const waits = `${queue.length} ${queue.length === 1 ? "request waits" : "requests wait"}, the first for ` +
    `${formatDuration(now - since)}`;
  if (queue.workerUp === false) {
    return `pg_net's worker is not running: ${waits}; try select net.worker_restart()`;
  }
  const why = queue.workerUp === null ? "pg_net sends nothing" : "pg_net's worker does nothing";
  return `${why}: ${waits}; try select net.worker_restart()`;
}

function stalledBatch({ batchTimeoutMs, inBatch, length }: HttpQueue, ageMs: number): string | null {
  const behind = length > inBatch ? `; ${length - inBatch} more wait behind it` : "";
  if (batchTimeoutMs === null) {
    return ageMs <= UNLIMITED_MS
      ? null
      : `pg_net has waited for ${formatDuration(ageMs)} for a request without a timeout${behind}`;
  }
  if (ageMs <= batchTimeoutMs + MARGIN_MS) return null;
  return `pg_net is in one batch for ${formatDuration(ageMs)}, although its slowest request may take ` +
    `${formatDuration(batchTimeoutMs)}${behind}; try select net.worker_restart()`;
}

/** Since when the first request has waited: as a kept call says, or since a look found it first. */
function sinceWhen(firstId: number, calls: HttpFacts["calls"], before: HttpReading): number | null {
  const waiting = (calls ?? []).filter(({ state }) => state === "waiting").map(({ calledAt }) => calledAt);
  const seen = before.queueFirstId === firstId && before.queueSince !== null ? [before.queueSince] : [];
  return [...waiting, ...seen].reduce<number | null>(
    (earliest, instant) => Math.min(earliest ?? instant, instant),
    null,
  );
}
