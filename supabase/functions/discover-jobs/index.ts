/** `POST /functions/v1/discover-jobs`: lists every project's jobs and keeps the inventory. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { triggerInput } from "../_shared/http/trigger.ts";
import { discoveryEnding, runDiscovery } from "./run.ts";

export default serveFunction({
  name: "discover-jobs",
  input: triggerInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    return withCheckRun(
      {
        hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
        functionName: "discover-jobs",
        source: input.source,
        requestId,
        noted: !input.dry_run,
      },
      (sql) => runDiscovery({ sql, config, clock: systemClock, log }, input),
      (report) => discoveryEnding(report, input),
    );
  },
});
