/** `POST /functions/v1/receive-log-drain`: takes the batches of a project's log drain. */
import { readHubAddress } from "../_shared/config.ts";
import { serveReceiver } from "../_shared/http/receive.ts";
import { withHub } from "../_shared/hub/client.ts";
import { receiveDrain } from "./run.ts";

export default serveReceiver({
  name: "receive-log-drain",
  run: ({ request, token }) => {
    const hub = readHubAddress(Deno.env.toObject());
    return receiveDrain(request, token, {
      hubProjectName: hub.hubProjectName,
      now: Date.now(),
      withHub: (use) => withHub(hub, use),
    });
  },
});
