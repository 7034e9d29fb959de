/** The registry of channels. A new one is a file, a line here and its name in `domain/delivery.ts`. */
import type { ChannelName } from "../domain/delivery.ts";
import type { Channel } from "./channel.ts";
import { discord } from "./discord.ts";
import { telegram } from "./telegram.ts";

export const channels: Readonly<Record<ChannelName, Channel<unknown>>> = { discord, telegram };
