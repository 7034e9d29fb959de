/** What people do about incidents from outside: presses of buttons, and what PagerDuty tells of. */
import type postgres from "postgres";
import { z } from "zod";
import { alertTarget } from "../domain/delivery.ts";
import { type PressAction, type PressState, pressState } from "../domain/press.ts";
import { hubError } from "./client.ts";

const pressedDelivery = z.object({
  alertConfigId: z.string(),
  /** As written in `alert_config`. */
  target: alertTarget,
  /** The chat that it went to instead, where the group had moved. */
  sentTo: z.string().nullable(),
});

/** The message under which a button was pressed. */
export type PressedDelivery = z.infer<typeof pressedDelivery>;

/**
 * Where a message with buttons was sent to; `null` where no enabled row of `alert_config` sent it.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readPressedDelivery(sql: postgres.Sql, id: string): Promise<PressedDelivery | null> {
  try {
    const [row] = await sql<{ pressed: unknown }[]>`
      select monitoring.pressed_delivery(${id}::text::uuid) as pressed`;
    return pressedDelivery.nullable().parse(row?.pressed ?? null);
  } catch (error) {
    throw hubError(error, "read the message that a button belongs to");
  }
}

/** A press of a button. */
export interface Press {
  deliveryId: string;
  action: PressAction;
  /** Who pressed, as kept with the incident. */
  by: string;
  /** The vendor's id of it: the same press told again does nothing more. */
  pressId: string;
}

/**
 * Does what a button says, for all incidents of its message, in one transaction.
 *
 * @returns How the incidents are now.
 * @throws {AppError} `hub_unreachable`, `hub_failed` or `conflict`.
 */
export async function pressButton(sql: postgres.Sql, press: Press): Promise<PressState> {
  try {
    const [row] = await sql<{ state: unknown }[]>`
      select monitoring.press_button(
        ${press.deliveryId}::text::uuid, ${press.action}, ${press.by}, ${press.pressId}) as state`;
    return pressState.parse(row?.state);
  } catch (error) {
    throw hubError(error, "do what a button says");
  }
}

/** What PagerDuty tells of an alert of ours. */
export interface PagerDutyNews {
  /** The key that the alert was opened with. */
  key: string;
  event: "acknowledged" | "unacknowledged" | "resolved";
  by: string;
  at: Date;
}

const followed = z.object({ incidents: z.number().int(), changed: z.number().int() });

/**
 * Follows what somebody did in PagerDuty.
 *
 * @returns How many incidents the alert tells of (0: it is none of ours), and how many changed.
 * @throws {AppError} `hub_unreachable`, `hub_failed` or `conflict`.
 */
export async function followPagerDuty(
  sql: postgres.Sql,
  news: PagerDutyNews,
): Promise<z.infer<typeof followed>> {
  try {
    const [row] = await sql<{ followed: unknown }[]>`
      select monitoring.follow_pagerduty(
        ${news.key}, ${news.event}, ${news.by}, ${news.at.toISOString()}::text::timestamptz) as followed`;
    return followed.parse(row?.followed);
  } catch (error) {
    throw hubError(error, "follow what was done in PagerDuty");
  }
}
