/** The registry of channels. A new one is a file, a line here and its name in `domain/delivery.ts`. */
import type { ChannelName } from "../domain/delivery.ts";
import type { Channel } from "./channel.ts";
import { discord } from "./discord.ts";
import { pagerduty } from "./pagerduty.ts";
import { postmark } from "./postmark.ts";
import { resend } from "./resend.ts";
import { slack } from "./slack.ts";
import { telegram } from "./telegram.ts";
import { twilio } from "./twilio.ts";
import { webhook } from "./webhook.ts";

export const channels: Readonly<Record<ChannelName, Channel<unknown>>> = {
  discord,
  telegram,
  slack,
  resend,
  postmark,
  twilio,
  pagerduty,
  webhook,
};
