/** `POST /functions/v1/telegram-webhook`: Telegram calls it when somebody presses a button under an alert. */
import { PRESS_SECRET, runTelegramWebhook, telegramUpdate } from "./run.ts";
import { readConfig } from "../_shared/config.ts";
import { withHub } from "../_shared/hub/client.ts";
import { serveWebhook } from "../_shared/http/serve_webhook.ts";
import { isSecret, secretsIn } from "../_shared/http/signatures.ts";

export default serveWebhook({
  name: "telegram-webhook",
  input: telegramUpdate,
  status: 200,
  authenticate: (headers) =>
    isSecret(headers.get("x-telegram-bot-api-secret-token"), secretsIn(Deno.env.get(PRESS_SECRET))),
  run: (update, { log }) => {
    const config = readConfig(Deno.env.toObject());
    return withHub(
      { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
      (sql) => runTelegramWebhook({ sql, config, log }, update),
    );
  },
});
