/**
 * One collection of every project's metrics, in a process of its own, so that its CPU and memory can be told. Reads what
 * the function reads, from the environment; prints `{ "numbers", "cpuMs", "peakMb", "tookMs" }`. With `--idle` it loads
 * everything and asks nothing.
 */
import { systemClock } from "../supabase/functions/_shared/clock.ts";
import { readConfig } from "../supabase/functions/_shared/config.ts";
import { openHub } from "../supabase/functions/_shared/hub/client.ts";
import { metricInput, runCollection } from "../supabase/functions/collect-metrics/run.ts";
import type { Log } from "../supabase/functions/_shared/log.ts";
import { processUsage } from "./process_usage.ts";

const silent: Log = { info: () => {}, warn: () => {}, error: () => {}, with: () => silent };

async function collectOnce(): Promise<number> {
  const config = readConfig(Deno.env.toObject());
  const sql = openHub({ databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert });
  try {
    const report = await runCollection(
      { sql, config, clock: systemClock, log: silent },
      metricInput.parse({}),
    );
    if (report.errors + report.failed + report.not_asked > 0) {
      throw new Error(`Cannot measure a collection with errors: ${JSON.stringify(report.projects)}`);
    }
    return Object.values(report.numbers).reduce((total, count) => total + count, 0);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const began = performance.now();
const numbers = Deno.args.includes("--idle") ? 0 : await collectOnce();
const tookMs = performance.now() - began;
const answer = { numbers, ...processUsage(), tookMs };
// deno-lint-ignore no-console
console.log(JSON.stringify(answer));
