/** A check under the eyes of its watchdogs. */
import { describeError } from "../_shared/errors.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import type { TriggerInput } from "../_shared/http/trigger.ts";
import { type WatchdogDeps, type WatchdogReport, type Watchdogs, watchdogsOf } from "./watchdogs.ts";

/**
 * Runs a check, and tells the watchdogs how it ended once it is recorded.
 *
 * @param check Is given what to call when it begins.
 * @param ending How a result is noted.
 * @throws what the check threw, after the watchdogs were told.
 */
export async function watched<T extends object>(
  deps: WatchdogDeps,
  input: TriggerInput,
  check: (begin: Watchdogs["begin"]) => Promise<T>,
  ending: (result: T) => CheckRunEnd,
): Promise<T & { watchdogs: WatchdogReport[] }> {
  const watchdogs = watchdogsOf(deps, input);
  let result: T;
  try {
    result = await check(watchdogs.begin);
  } catch (error) {
    await watchdogs.end({ status: "failed", counts: {}, error: describeError(error).message });
    throw error;
  }
  return { ...result, watchdogs: await watchdogs.end(ending(result)) };
}
