/** Durations and instants as people type them. */

const MINUTES = { d: 1_440, h: 60, m: 1 } as const;

/** Minutes of `90m`, `2h`, `1d` or `1d12h`; `null` for anything else, and for nothing at all. */
export function parseDuration(text: string): number | null {
  if (!/^(?=\d)(\d{1,6}d)?(\d{1,6}h)?(\d{1,6}m(in)?)?$/i.test(text.trim())) return null;
  const parts = [...text.trim().toLowerCase().matchAll(/(\d+)([dhm])/g)];
  const minutes = parts.reduce(
    (sum, [, count, unit]) => sum + Number(count) * MINUTES[unit as keyof typeof MINUTES],
    0,
  );
  return minutes === 0 ? null : minutes;
}

/** What {@link parseDuration} takes, for messages. */
export const DURATION_FAULT = "must be a duration such as 90m, 2h or 1d";

const ISO = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/** Epoch milliseconds of an ISO 8601 date or time, in UTC unless it says otherwise; `null` for anything else. */
export function parseInstant(text: string): number | null {
  if (!ISO.test(text)) return null;
  const instant = Date.parse(/T.*(Z|[+-]\d\d:\d\d)$|^[^T]*$/.test(text) ? text : `${text}Z`);
  // Date.parse() takes 30 February for 2 March
  const day = Number(text.slice(8, 10));
  const asUtc = new Date(`${text.slice(0, 10)}T00:00Z`);
  return Number.isNaN(instant) || asUtc.getUTCDate() !== day ? null : instant;
}

/** What {@link parseInstant} takes, for messages. */
export const INSTANT_FAULT = "must be a time that exists, such as 2026-11-21T12:00Z";
