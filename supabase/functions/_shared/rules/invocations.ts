/** Counted invocations of one function: which source to believe, and what its newest ones show. */
import type { InvocationCounts, InvocationMinute, InvocationSource } from "../domain/edge_function.ts";

/** The newest invocations, as one source saw them. */
export interface RecentInvocations extends InvocationCounts {
  source: InvocationSource;
  /** The minutes of the oldest and of the newest of them, epoch milliseconds. */
  oldestAt: number;
  newestAt: number;
  /** The newest ones that failed without a success in between; minutes tell no order within. */
  failedInARow: number;
}

/** Sources report with delays of their own: so much older, and one is no less fresh than another. */
const EQUALLY_FRESH_MS = 10 * 60_000;

/** Among equally fresh ones: the platform sees what kills a function, the function itself does not. */
const PREFERENCE: readonly InvocationSource[] = ["drain", "log", "wrapper"];

/**
 * The newest invocations, at least `atLeast` of them where there are so many. Sources see the same invocations, so one
 * is believed and none is added to another: the freshest, and among equally fresh ones the platform's own.
 */
export function recentInvocations(
  minutes: readonly InvocationMinute[],
  atLeast: number,
): RecentInvocations | null {
  const source = bestSource(minutes);
  if (source === null) return null;
  const newestFirst = minutes.filter((minute) => minute.source === source && minute.invocations > 0)
    .toSorted((a, b) => b.minute - a.minute);
  const taken: InvocationMinute[] = [];
  let invocations = 0;
  for (const minute of newestFirst) {
    if (invocations >= atLeast) break;
    taken.push(minute);
    invocations += minute.invocations;
  }
  const firstWithSuccess = taken.findIndex(({ invocations, errors }) => errors < invocations);
  const failing = firstWithSuccess === -1 ? taken : taken.slice(0, firstWithSuccess);
  return {
    source,
    ...sumCounts(taken),
    oldestAt: taken.at(-1)?.minute ?? 0,
    newestAt: taken[0]?.minute ?? 0,
    failedInARow: sumCounts(failing).invocations,
  };
}

/** The sum of some minutes of one source. */
export function sumCounts(minutes: readonly InvocationCounts[]): InvocationCounts {
  const sum = { invocations: 0, errors: 0, clientErrors: 0, durationTotalMs: 0, durationMaxMs: 0 };
  for (const minute of minutes) {
    sum.invocations += minute.invocations;
    sum.errors += minute.errors;
    sum.clientErrors += minute.clientErrors;
    sum.durationTotalMs += minute.durationTotalMs;
    sum.durationMaxMs = Math.max(sum.durationMaxMs, minute.durationMaxMs);
  }
  return sum;
}

/** The source whose minutes count, `null` where none saw an invocation. */
export function bestSource(minutes: readonly InvocationMinute[]): InvocationSource | null {
  const newest = new Map<InvocationSource, number>();
  for (const { source, minute, invocations } of minutes) {
    if (invocations > 0) newest.set(source, Math.max(newest.get(source) ?? 0, minute));
  }
  if (newest.size === 0) return null;
  const freshest = Math.max(...newest.values());
  return PREFERENCE.find((source) => (newest.get(source) ?? -Infinity) >= freshest - EQUALLY_FRESH_MS) ??
    null;
}

/** `7 of its last 20 invocations failed (35%)`. */
export function ratePhrase({ invocations, errors }: InvocationCounts): string {
  const percent = Math.round((100 * errors) / invocations);
  return `${errors} of its last ${invocations} invocations failed (${percent}%)`;
}
