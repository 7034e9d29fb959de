/** `POST /functions/v1/record-execution`: takes the executions that `withExecutionLog` reports. */
import { readHubAddress } from "../_shared/config.ts";
import { serveReceiver } from "../_shared/http/receive.ts";
import { withHub } from "../_shared/hub/client.ts";
import { receiveExecutions } from "./run.ts";

export default serveReceiver({
  name: "record-execution",
  run: ({ request, token }) => {
    const hub = readHubAddress(Deno.env.toObject());
    return receiveExecutions(request, token, (use) => withHub(hub, use));
  },
});
