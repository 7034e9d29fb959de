/** `GET /functions/v1/status`: how everything is, as JSON or for Prometheus. */
import { readConfig } from "../_shared/config.ts";
import { serveReading } from "../_shared/http/serve.ts";
import { withHub } from "../_shared/hub/client.ts";
import { readStatus } from "../_shared/hub/status.ts";
import { answerStatus, statusInput } from "./run.ts";

export default serveReading({
  name: "status",
  input: statusInput,
  run: async (input, { headers, requestId }) => {
    const config = readConfig(Deno.env.toObject());
    const view = await withHub(
      { databaseUrl: config.hubDatabaseUrl, caCert: config.postgresCaCert },
      readStatus,
    );
    return answerStatus(view, input, { accept: headers.get("accept") ?? "", requestId });
  },
});
