/** `POST /functions/v1/collect-metrics`: asks every project for its metrics and records what they mean. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { collectionEnding, metricInput, runCollection } from "./run.ts";

export default serveFunction({
  name: "collect-metrics",
  input: metricInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    return withCheckRun(
      {
        hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
        functionName: "collect-metrics",
        source: input.source,
        requestId,
        noted: !input.dry_run,
      },
      (sql) => runCollection({ sql, config, clock: systemClock, log }, input),
      (report) => collectionEnding(report, input),
    );
  },
});
