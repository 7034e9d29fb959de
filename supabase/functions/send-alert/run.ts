/** The tick: what is owed is decided, then what is due is delivered. */
import { AppError } from "../_shared/errors.ts";
import { countWaiting } from "../_shared/hub/deliveries.ts";
import { applyDefaultRoutes } from "./default_routes.ts";
import type { SendAlertDeps } from "./deps.ts";
import { drainOutbox, type Run } from "./drain.ts";
import type { SendAlertInput } from "./input.ts";
import { tickPolicy } from "./policy.ts";
import { preview } from "./preview.ts";
import { readChannels, resolveRows } from "./channel_report.ts";
import { type SendAlertSummary, summarise } from "./summary.ts";
import { sendTests } from "./test_alert.ts";
import { routeUnroutable } from "./unroutable.ts";

/** How often a run decides again because a vendor refused something for good. */
const ROUNDS = 3;

/**
 * Sends a test alert where one is asked for; otherwise runs the alert policy and drains the outbox.
 *
 * @throws {AppError} `not_found` for a test without a channel to test; `hub_unreachable` or `hub_failed`.
 */
export async function runSendAlert(deps: SendAlertDeps, input: SendAlertInput): Promise<SendAlertSummary> {
  if (input.dry_run !== true) await applyDefaultRoutes(deps);
  if (input.test !== undefined) return summarise(await sendTests(input.test, deps));
  if (input.dry_run === true) return await preview(deps);
  const run: Run = {
    deps,
    reports: [],
    resting: new Set(),
    failures: new Map(),
    lastSentAt: new Map(),
    effort: 0,
  };
  const resolved = await resolveRows(deps);
  await routeUnroutable(deps, run.reports);
  const faults = await decideAndDrain(run, resolved.targetKeys);
  const left = await countWaiting(deps.sql);
  const config_faults = [...faults, ...resolved.faults];
  const summary = {
    ...summarise(run.reports),
    left,
    channels: await readChannels(deps),
    config_faults,
  };
  const { sent, retried, failed, unroutable } = summary;
  deps.log.info("outbox drained", { sent, retried, failed, unroutable, left, resting: run.resting.size });
  for (const fault of config_faults) deps.log.warn("alerts are not set up right", { fault });
  return summary;
}

/** What a vendor refuses for good goes to the next row in the same run. */
async function decideAndDrain(run: Run, targetKeys: ReadonlyMap<string, string>): Promise<string[]> {
  let faults: string[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    try {
      faults = await tickPolicy(run.deps, targetKeys);
    } catch (error) {
      if (!(error instanceof AppError && error.code === "conflict")) throw error;
      run.deps.log.info("another run decided what is owed");
    }
    if (await drainOutbox(run) === 0) break;
  }
  return faults;
}
