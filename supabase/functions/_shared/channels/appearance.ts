/** Colour and sign of an alert: one language over all channels. */
import type { Message } from "../domain/delivery.ts";

/** A sign for the first line and a colour as `0xRRGGBB`. */
export interface Appearance {
  sign: string;
  colour: number;
}

const BY_SEVERITY: Record<Message["severity"], Appearance> = {
  critical: { sign: "🔴", colour: 0xd92d20 },
  important: { sign: "🟠", colour: 0xf38744 },
  low: { sign: "🟡", colour: 0xeac54f },
  info: { sign: "⚪", colour: 0x98a2b3 },
};

/** The colour as HTML writes it, `#d92d20`. */
export function htmlColour({ colour }: Appearance): string {
  return `#${colour.toString(16).padStart(6, "0")}`;
}

/** Red, orange and yellow for what is wrong, green for what is well again and for a report with nothing to do, blue for a test. */
export function appearanceOf(message: Message): Appearance {
  if (message.event === "resolved") return { sign: "🟢", colour: 0x12b76a };
  if (message.event === "report" && message.severity === "info") return { sign: "🟢", colour: 0x12b76a };
  if (message.event === "test") return { sign: "🔵", colour: 0x2e90fa };
  return BY_SEVERITY[message.severity];
}
