/** `POST /functions/v1/send-report`: writes a report and owes it to those who have subscribed to it. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { reportEnding, reportInput, runReport } from "./run.ts";

export default serveFunction({
  name: "send-report",
  input: reportInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    return withCheckRun(
      {
        hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
        functionName: "send-report",
        source: input.source,
        requestId,
        noted: !input.dry_run,
      },
      (sql) => runReport({ sql, clock: systemClock, log }, input),
      reportEnding,
    );
  },
});
