/** Reports as each channel takes them. */
import type { ChannelName, RenderedMessage } from "../domain/delivery.ts";
import type { Report } from "../domain/report.ts";
import { reportMessage } from "../rules/report_message.ts";
import { channels } from "./mod.ts";

/** Writes a report within a channel's limits: in the channel's own form of one, or as a message. */
export function renderReport(name: ChannelName, report: Report): RenderedMessage {
  const channel = channels[name];
  return channel.renderReport?.(report) ?? channel.render(reportMessage(report));
}
