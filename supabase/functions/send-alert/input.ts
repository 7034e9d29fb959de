/** What `send-alert` may be asked. */
import { z } from "zod";
import { channelName } from "../_shared/domain/delivery.ts";

export const sendAlertInput = z.strictObject({
  /** Who calls; `cron` is answered at once. */
  source: z.string().max(64).optional(),
  /** Answers what would be sent, and sends nothing. */
  dry_run: z.boolean().optional(),
  /** Sends a test alert through the enabled rows of `alert_config` with this channel, or through the one named. */
  test: z.strictObject({
    channel: channelName,
    alert_config_id: z.uuid().optional(),
  }).optional(),
});
export type SendAlertInput = z.infer<typeof sendAlertInput>;
