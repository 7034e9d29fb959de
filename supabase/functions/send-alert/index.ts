/** `POST /functions/v1/send-alert`: delivers what is owed, or sends a test alert. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { sendAlertInput } from "./input.ts";
import { runSendAlert } from "./run.ts";
import { sendAlertEnding } from "./summary.ts";

/** Well within the 150 s that the runtime gives. */
const BUDGET_MS = 100_000;

export default serveFunction({
  name: "send-alert",
  input: sendAlertInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    const deadline = new Date(Date.now() + BUDGET_MS);
    return withCheckRun(
      {
        hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
        functionName: "send-alert",
        source: input.source ?? "manual",
        requestId,
        noted: input.dry_run !== true,
      },
      (sql) => runSendAlert({ sql, config, clock: systemClock, log, deadline }, input),
      sendAlertEnding,
    );
  },
});
