/** What `cron-healthcheck` takes: what every function of the schedule does, and the body that its callers send by `net.http_post`. */
import { z } from "zod";
import { type TriggerInput, triggerInput } from "../_shared/http/trigger.ts";

const { source, project, dry_run } = triggerInput.shape;

/** `{"trigger": "manual", "timestamp": …}` says who called, as `source` does. */
export const healthcheckInput: z.ZodType<TriggerInput> = z.strictObject({
  source: source.unwrap().optional(),
  trigger: source.unwrap().optional(),
  timestamp: z.string().max(64).optional(),
  project,
  dry_run,
}).transform(({ source, trigger, project, dry_run }) => ({
  source: source ?? trigger ?? "manual",
  ...(project === undefined ? {} : { project }),
  dry_run,
}));
