/** `GET, HEAD or POST /functions/v1/receive-heartbeat/<token>`: a job that runs elsewhere says so. The token is the key. */
import { systemClock } from "../_shared/clock.ts";
import { readConfig } from "../_shared/config.ts";
import { receivePing } from "../_shared/hub/heartbeats.ts";
import { shareHub } from "../_shared/hub/shared_hub.ts";
import { createLog } from "../_shared/log.ts";
import { answerPing, type PingDeps } from "./run.ts";
import { createUnknownCallers } from "./unknown_callers.ts";
import { reportingLog } from "../_shared/http/error_reports.ts";

// pings come in crowds, at full hours
const useHub = shareHub(() => {
  const config = readConfig(Deno.env.toObject());
  return { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert };
});

const deps: PingDeps = {
  receive: (ping) => useHub((sql) => receivePing(sql, ping)),
  secrets: () => readConfig(Deno.env.toObject()).secrets,
  unknownCallers: createUnknownCallers(),
  clock: systemClock,
  log: reportingLog(createLog({ function: "receive-heartbeat" }), "receive-heartbeat"),
};

export default { fetch: (request: Request): Promise<Response> => answerPing(request, deps) };
