/** Time zones as spans of constant offset, found by bisection and kept: one question to `Intl` costs over a microsecond. */

/** A stretch of time in which a zone's offset does not change. */
export interface Span {
  /** Epoch ms, a full UTC minute; inclusive. */
  from: number;
  /** Epoch ms, a full UTC minute; exclusive. The next span may have the same offset. */
  until: number;
  /** What to add to UTC for the wall clock, in ms. */
  offsetMs: number;
}

/** A zone that `Intl` knows. */
export interface TimeZone {
  readonly offsetAt: (instant: number) => number;
  /** By chunk number. */
  readonly spans: Map<number, readonly Span[]>;
}

const minuteMs = 60_000;

/**
 * No zone of the tz database has had two changes within 6.9 days since the year 2000 (Gaza's Ramadan in October 2040
 * comes closest), so at most one falls into a chunk.
 */
const chunkMs = 4 * 24 * 60 * minuteMs;

/** Spans kept for a zone: over a century. */
const maxChunks = 10_000;

const maxZones = 1_000;

const zones = new Map<string, TimeZone | null>();

/** Names that need no `Intl`. */
const utcNames = /^(?:utc|gmt|etc\/utc|etc\/gmt|zulu|etc\/zulu|universal|etc\/universal|uct|etc\/uct)$/i;

/**
 * A zone by its name in the tz database, any case; `null` for anything else. Postgres also takes POSIX rules and
 * numbers for a zone; their signs are reversed, so they are not guessed at.
 */
export function findTimeZone(name: string): TimeZone | null {
  const known = zones.get(name);
  if (known !== undefined) return known;
  if (zones.size >= maxZones) zones.clear();
  const offsetAt = offsetRule(name);
  const zone = offsetAt && { offsetAt, spans: new Map() };
  zones.set(name, zone);
  return zone;
}

/** The span around an instant. */
export function spanAt(zone: TimeZone, instant: number): Span {
  const chunk = Math.floor(instant / chunkMs);
  let spans = zone.spans.get(chunk);
  if (!spans) {
    if (zone.spans.size >= maxChunks) zone.spans.clear();
    spans = spansBetween(zone.offsetAt, chunk * chunkMs, (chunk + 1) * chunkMs);
    zone.spans.set(chunk, spans);
  }
  for (const span of spans) if (instant < span.until) return span;
  // The spans fill their chunk, so this only satisfies the compiler; it would be right all the same.
  return { from: instant, until: (chunk + 1) * chunkMs, offsetMs: zone.offsetAt(instant) };
}

function offsetRule(name: string): TimeZone["offsetAt"] | null {
  if (utcNames.test(name)) return () => 0;
  if (!/^[A-Za-z]/.test(name)) return null;
  try {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
    return (instant) => offsetOf(format.format(instant));
  } catch {
    return null; // a RangeError is how Intl says that it does not know the name
  }
}

/** Reads `1/1/1970, GMT+10:30`; seconds occur before 1972. */
function offsetOf(text: string): number {
  const [, sign, hours, minutes, seconds] = /([+-])(\d+):(\d+)(?::(\d+))?$/.exec(text) ?? [];
  if (sign === undefined) return 0;
  const offset = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds ?? 0)) * 1000;
  return sign === "-" ? -offset : offset;
}

function spansBetween(offsetAt: TimeZone["offsetAt"], from: number, until: number): Span[] {
  const spans: Span[] = [];
  const lastOffset = offsetAt(until);
  let start = from;
  let offsetMs = offsetAt(start);
  while (offsetMs !== lastOffset) {
    const change = changeBetween(offsetAt, start, until, offsetMs);
    spans.push({ from: start, until: change, offsetMs });
    start = change;
    offsetMs = offsetAt(start);
  }
  if (start < until) spans.push({ from: start, until, offsetMs });
  return spans;
}

/** The first full minute with another offset than at the start, given that the end has another one. */
function changeBetween(
  offsetAt: TimeZone["offsetAt"],
  start: number,
  until: number,
  offsetMs: number,
): number {
  let same = start / minuteMs;
  let other = until / minuteMs;
  while (other - same > 1) {
    const middle = Math.floor((same + other) / 2);
    if (offsetAt(middle * minuteMs) === offsetMs) same = middle;
    else other = middle;
  }
  return other * minuteMs;
}
