/**
 * One check of every project, in a process of its own, so that its CPU and memory can be told. Reads what the functions
 * read, from the environment; prints `{ "jobs", "cpuMs", "peakMb" }`. With `--idle` it loads everything and checks nothing.
 */
import { systemClock } from "../supabase/functions/_shared/clock.ts";
import { readConfig } from "../supabase/functions/_shared/config.ts";
import { openHub } from "../supabase/functions/_shared/hub/client.ts";
import { runCheck } from "../supabase/functions/check-job-health/run.ts";
import { triggerInput } from "../supabase/functions/_shared/http/trigger.ts";
import type { Log } from "../supabase/functions/_shared/log.ts";
import { processUsage } from "./process_usage.ts";

const silent: Log = { info: () => {}, warn: () => {}, error: () => {}, with: () => silent };

async function checkOnce(): Promise<number> {
  const config = readConfig(Deno.env.toObject());
  const sql = openHub({ databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert });
  try {
    const report = await runCheck({ sql, config, clock: systemClock, log: silent }, triggerInput.parse({}));
    if (report.errors > 0) {
      throw new Error(`Cannot measure a check with errors: ${JSON.stringify(report.projects)}`);
    }
    return report.jobs;
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const jobs = Deno.args.includes("--idle") ? 0 : await checkOnce();
const answer = { jobs, ...processUsage() };
// deno-lint-ignore no-console
console.log(JSON.stringify(answer));
