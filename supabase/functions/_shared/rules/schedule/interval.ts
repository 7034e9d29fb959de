/** Intervals of pg_cron, `N seconds`: as its `TryParseInterval` reads them. */
import type { Fault } from "./model.ts";

/** A longer text was not meant as an interval. */
const longestGuess = 999;

/** The seconds of `sscanf(" %u second[s]")`, wrapped as an unsigned `int`; `null` where the text has another form. */
export function readInterval(text: string): number | null {
  const [, sign, digits] = /^[ \t-\r]*([+-]?)([0-9]+)[ \t-\r]*second(?:s[ \t-\r]*)?$/i.exec(text) ?? [];
  if (digits === undefined) return null;
  const significant = digits.replace(/^0+(?=.)/, "");
  const long = significant.length > 20 ? 2n ** 64n : BigInt(significant);
  if (long >= 2n ** 64n) return 2 ** 32 - 1;
  return Number(BigInt.asUintN(32, sign === "-" ? -long : long));
}

/** What to say of a refused text that was meant as an interval; `null` if it was not. */
export function intervalFault(text: string): Fault | null {
  if (text.length > longestGuess) return null;
  const [, before, number, gap = "", unit = ""] = /^(\s*)([+-]?\d+)(\s*)([a-z]+)\s*$/i.exec(text) ?? [];
  if (before === undefined || number === undefined || !/^[smhdw]/i.test(unit)) return null;
  const unitAt = before.length + number.length + gap.length;
  if (!/^seconds?$/i.test(unit)) {
    const reason = 'an interval is "1 second" to "59 seconds": write five fields for anything else';
    return { at: unitAt, reason };
  }
  if (readInterval(text) === null) return { at: unitAt + unit.length, reason: 'nothing may follow "second"' };
  return { at: before.length, reason: "interval must be 1 to 59 seconds" };
}
