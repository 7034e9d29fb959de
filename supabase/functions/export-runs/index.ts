/** `POST /functions/v1/export-runs`: tells others of runs and incidents, where somebody is set up to be told. */
import { readConfig } from "../_shared/config.ts";
import { withCheckRun } from "../_shared/hub/check_runs.ts";
import { serveFunction } from "../_shared/http/serve.ts";
import { exportEnding, exportInput, isWanted, runExport } from "./run.ts";

export default serveFunction({
  name: "export-runs",
  input: exportInput,
  run: (input, { log, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    if (!isWanted(config)) return Promise.resolve({ exports: [] });
    return withCheckRun(
      {
        hub: { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
        functionName: "export-runs",
        source: input.source,
        requestId,
        noted: !input.dry_run,
      },
      (sql) => runExport({ sql, config, log }, input),
      exportEnding,
    );
  },
});
