/**
 * One run of `send-alert` in a process of its own, so that its CPU can be told. Reads what the function reads, from the
 * environment; prints `{ "sent", "left", "cpuMs", "wallMs", "peakMb" }`. With `--idle` it loads everything and sends
 * nothing; `--without-limit` sends all that is due.
 */
import { systemClock } from "../supabase/functions/_shared/clock.ts";
import { readConfig } from "../supabase/functions/_shared/config.ts";
import { openHub } from "../supabase/functions/_shared/hub/client.ts";
import { createLog } from "../supabase/functions/_shared/log.ts";
import { runSendAlert } from "../supabase/functions/send-alert/run.ts";
import { processUsage } from "./process_usage.ts";

async function sendOnce(): Promise<{ sent: number; left: number }> {
  const config = readConfig(Deno.env.toObject());
  const sql = openHub({ databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert });
  const limit = Deno.args.includes("--without-limit") ? { effortLimit: Infinity } : {};
  try {
    const { sent, left = 0 } = await runSendAlert({
      ...{ sql, config, clock: systemClock, ...limit },
      log: createLog(),
      deadline: new Date(Date.now() + 100_000),
      // the fakes do not throttle here
      pause: () => Promise.resolve(),
    }, {});
    return { sent, left };
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const began = performance.now();
const { sent, left } = Deno.args.includes("--idle") ? { sent: 0, left: 0 } : await sendOnce();
const answer = {
  ...{ sent, left, wallMs: performance.now() - began },
  ...processUsage(),
};
// deno-lint-ignore no-console
console.log(`\n${JSON.stringify(answer)}`);
