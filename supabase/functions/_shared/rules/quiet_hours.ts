/** Quiet hours of a row of `alert_config`: wall-clock times in its own zone, right on the days when clocks change. */
import type { AlertRoute } from "../domain/delivery.ts";
import { findTimeZone, spanAt, type TimeZone } from "./schedule/zone.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** What {@link quietUntil} needs of a row. */
export type QuietHours = Pick<AlertRoute, "quietFrom" | "quietUntil" | "quietTimeZone">;

/**
 * When the quiet hours that `now` lies in end, or `null` outside of them. Each night begins and ends once: at the first
 * of two equal wall-clock times, and at the jump where the clock skips over one.
 */
export function quietUntil(row: QuietHours, now: number): number | null {
  if (row.quietFrom === null || row.quietUntil === null) return null;
  const zone = zoneOf(row.quietTimeZone);
  const [from, until] = [minutesOf(row.quietFrom), minutesOf(row.quietUntil)];
  const today = Math.floor((now + zone.offsetAt(now)) / DAY_MS) * DAY_MS;
  for (const day of [today - DAY_MS, today]) {
    const begin = instantOf(zone, day + from * MINUTE_MS);
    const end = instantOf(zone, day + (until > from ? 0 : DAY_MS) + until * MINUTE_MS);
    if (begin <= now && now < end) return end;
  }
  return null;
}

/** `2026-11-21 07:00 Europe/Berlin`, as the quiet hours' zone shows an instant. */
export function wallClock(row: QuietHours, instant: number): string {
  const text = new Date(instant + zoneOf(row.quietTimeZone).offsetAt(instant)).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 16)} ${row.quietTimeZone}`;
}

/** Whether quiet hours can be told in that zone; otherwise they are taken as UTC. */
export function isQuietZone(name: string): boolean {
  return findTimeZone(name) !== null;
}

const UTC: TimeZone = { offsetAt: () => 0, spans: new Map() };

function zoneOf(name: string): TimeZone {
  return findTimeZone(name) ?? UTC;
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(":").map(Number);
  return hours * 60 + minutes;
}

/** The first instant at which the wall clock shows `wall` (as if it were UTC), or has jumped over it. */
function instantOf(zone: TimeZone, wall: number): number {
  const offsets = [zone.offsetAt(wall - DAY_MS), zone.offsetAt(wall + DAY_MS)];
  const instants = offsets.map((offset) => wall - offset).sort((a, b) => a - b);
  const shown = instants.find((instant) => instant + zone.offsetAt(instant) === wall);
  return shown ?? spanAt(zone, instants.at(-1) ?? wall).from;
}
