/** `POST /functions/v1/check-job-health`: looks at every project's pg_cron and records what it finds. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { triggerInput } from "../_shared/http/trigger.ts";
import { checkEnding, runCheck } from "./run.ts";

export default serveFunction({
  name: "check-job-health",
  input: triggerInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    return withCheckRun(
      {
        hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
        functionName: "check-job-health",
        source: input.source,
        requestId,
        noted: !input.dry_run,
      },
      (sql) => runCheck({ sql, config, clock: systemClock, log }, input),
      (report) => checkEnding(report, input),
    );
  },
});
