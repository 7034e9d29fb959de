/** `POST /functions/v1/pagerduty-webhook`: PagerDuty calls it when somebody acknowledges one of our alerts there. */
import { readConfig } from "../_shared/config.ts";
import { withHub } from "../_shared/hub/client.ts";
import { serveWebhook } from "../_shared/http/serve_webhook.ts";
import { isSigned, secretsIn } from "../_shared/http/signatures.ts";
import { pagerdutyWebhook, runPagerDutyWebhook } from "./run.ts";

export default serveWebhook({
  name: "pagerduty-webhook",
  input: pagerdutyWebhook,
  status: 202,
  authenticate: (headers, body) =>
    isSigned(
      headers.get("x-pagerduty-signature"),
      body,
      secretsIn(Deno.env.get("PAGERDUTY_WEBHOOK_SECRET")),
    ),
  run: ({ event }, { log }) => {
    const config = readConfig(Deno.env.toObject());
    return withHub(
      { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
      (sql) => runPagerDutyWebhook({ sql, log }, event),
    );
  },
});
