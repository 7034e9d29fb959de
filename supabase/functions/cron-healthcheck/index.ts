/** `POST /functions/v1/cron-healthcheck`: judges every heartbeat and records what it finds. */
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { healthcheckInput } from "./input.ts";
import { healthcheckEnding, runHealthcheck } from "./run.ts";

export default serveFunction({
  name: "cron-healthcheck",
  input: healthcheckInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    return withCheckRun(
      {
        hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
        functionName: "cron-healthcheck",
        source: input.source,
        requestId,
        noted: !input.dry_run,
      },
      (sql) => runHealthcheck({ sql, config, log }, input),
      (report) => healthcheckEnding(report, input),
    );
  },
});
