/** `POST /functions/v1/check-job-health`: looks at every project's pg_cron and records what it finds. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import type { Duties } from "../_shared/hub/duties.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { triggerInput } from "../_shared/http/trigger.ts";
import { checkEnding, type CheckReport, ownDuties, runCheck } from "./run.ts";
import { watched } from "./watched.ts";

export default serveFunction({
  name: "check-job-health",
  input: triggerInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    const ending = (report: CheckReport) => checkEnding(report, input);
    const begun = {
      hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
      functionName: "check-job-health",
      source: input.source,
      requestId,
      noted: !input.dry_run,
    };
    const check = (begin: (duties: Duties | null) => void) =>
      withCheckRun(begun, async (sql) => {
        const duties = await ownDuties(sql, log);
        begin(duties);
        return await runCheck({ sql, config, clock: systemClock, log, duties }, input);
      }, ending);
    return watched({ config, log }, input, check, ending);
  },
});
