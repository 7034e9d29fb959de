/** Untrusted text made fit to show: cleaned, put on one line, cut; times and durations in words. */

// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;
/** Instants inside of sentences; no day but those that every month has. */
const ISO_INSTANT =
  /\b20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z/g;
/** Marks that turn the reading direction, and characters that show as nothing at all. */
const INVISIBLE = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/gu;

/**
 * Text that every channel, and Postgres, takes: well-formed Unicode, line feeds only, no control characters, and none
 * of the marks that turn the reading direction or hide text.
 */
export function clean(text: string): string {
  return text.toWellFormed().replace(/\r\n?|[\u0085\u2028\u2029]/g, "\n").replace(CONTROL, "").replace(
    INVISIBLE,
    "",
  );
}

/** {@link clean} text without line breaks or runs of blanks, for titles and labels. */
export function oneLine(text: string): string {
  return clean(text).replace(/\s+/g, " ").trim();
}

/**
 * The longest beginning of `text` that fits `limit`, cut between code points, with how much was dropped. `measure`
 * answers the size in the vendor's unit (UTF-16 units unless told) and must never be less than `text.length`.
 */
export function cut(
  text: string,
  limit: number,
  measure: (text: string) => number = (text) => text.length,
): string {
  if (text.length <= limit && measure(text) <= limit) return text;
  const room = limit - measure(dropped(text));
  if (room <= 0) return longestFit(text, limit, measure);
  const kept = longestFit(text, room, measure).trimEnd();
  return kept + dropped(text.slice(kept.length));
}

function dropped(rest: string): string {
  let codePoints = 0;
  for (const _ of rest) codePoints++;
  return `… ${codePoints.toLocaleString("en-US")} more ${codePoints === 1 ? "character" : "characters"}`;
}

function longestFit(text: string, limit: number, measure: (text: string) => number): string {
  let low = 0;
  let high = Math.min(limit, text.length);
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (measure(text.slice(0, middle)) <= limit) low = middle;
    else high = middle - 1;
  }
  return text.slice(0, isHighSurrogate(text.charCodeAt(low - 1)) ? low - 1 : low);
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

/** `2026-11-21 03:00 UTC`; seconds only where there are any. */
export function formatUtc(at: Date): string {
  // years have six digits from 10000 on
  const [date = "", time = ""] = at.toISOString().split("T");
  const seconds = time.slice(6, 8) === "00" ? "" : time.slice(5, 8);
  return `${date} ${time.slice(0, 5)}${seconds} UTC`;
}

/** `42 s`, `12 min`, `3 h 12 min`, `2 d 5 h`: the two largest units, rounded down. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.floor(Math.max(0, milliseconds) / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (seconds < 1) return "less than 1 s";
  if (minutes < 1) return `${seconds} s`;
  if (hours < 1) return minutes < 10 ? twoUnits(minutes, "min", seconds % 60, "s") : `${minutes} min`;
  if (days < 1) return twoUnits(hours, "h", minutes % 60, "min");
  return twoUnits(days, "d", hours % 24, "h");
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** A line that begins with a capital and ends with a full stop, instants in it as {@link formatUtc} writes them. */
export function sentence(text: string): string {
  const line = capitalised(cut(oneLine(text), 600)).replace(ISO_INSTANT, (iso) => formatUtc(new Date(iso)));
  return /[.!?…]$/.test(line) ? line : `${line}.`;
}

/** What begins with an identifier, such as `pg_cron`, keeps its case. */
function capitalised(text: string): string {
  if (/^[a-z0-9]+_/.test(text)) return text;
  const [first = ""] = text;
  return first.toUpperCase() + text.slice(first.length);
}

/** The instant of an ISO time, or `null`. */
export function dateOf(iso: string | null | undefined): Date | null {
  if (typeof iso !== "string") return null;
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? null : at;
}
