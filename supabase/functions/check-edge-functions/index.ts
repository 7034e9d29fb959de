/** `POST /functions/v1/check-edge-functions`: looks at every project's edge functions and records what it finds. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { triggerInput } from "../_shared/http/trigger.ts";
import { edgeCheckEnding, runEdgeCheck } from "./run.ts";

export default serveFunction({
  name: "check-edge-functions",
  input: triggerInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    return withCheckRun(
      {
        hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
        functionName: "check-edge-functions",
        source: input.source,
        requestId,
        noted: !input.dry_run,
      },
      (sql) => runEdgeCheck({ sql, config, clock: systemClock, log }, input),
      (report) => edgeCheckEnding(report, input),
    );
  },
});
