/** Presses of the buttons under an alert, and how its incidents are after one. */
import { z } from "zod";

/** What a button does to every incident of its message; `look` only answers how they are. */
export const pressAction = z.enum(["acknowledge", "silence_hour", "silence_day", "false_alarm", "look"]);
export type PressAction = z.infer<typeof pressAction>;

/** How the incidents of a message are. Instants are epoch milliseconds. */
export const pressState = z.object({
  incidents: z.number().int(),
  /** Those that still hold. */
  open: z.number().int(),
  /** What the press did: incidents acknowledged or marked, silences made; 0 where somebody was faster. */
  changed: z.number().int(),
  /** Of the open ones, those that somebody has taken on. */
  acknowledged: z.number().int(),
  acknowledgedBy: z.array(z.string()),
  falseAlarms: z.number().int(),
  falseAlarmBy: z.array(z.string()),
  /** Until when every open one is silenced; `null` where one is not. */
  silencedUntil: z.number().nullable(),
  /** When the last one ended; `null` where one has not. */
  endedAt: z.number().nullable(),
});
export type PressState = z.infer<typeof pressState>;
