/** `GET /functions/v1/badge/<id>.svg`: how a project or a job is, for whoever knows the id. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { shareHub } from "../_shared/hub/shared_hub.ts";
import { readBadge } from "../_shared/hub/status.ts";
import { createLog } from "../_shared/log.ts";
import { answerBadge, type BadgeDeps } from "./run.ts";
import { reportingLog } from "../_shared/http/error_reports.ts";

// a page shows many of them at once
const useHub = shareHub(() => {
  const config = readConfig(Deno.env.toObject());
  return { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert };
});

const deps: BadgeDeps = {
  read: (id) => useHub((sql) => readBadge(sql, id)),
  clock: systemClock,
  log: reportingLog(createLog({ function: "badge" }), "badge"),
};

export default { fetch: (request: Request): Promise<Response> => answerBadge(request, deps) };
