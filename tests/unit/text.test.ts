/** Untrusted text made fit to show. */
import assert from "node:assert/strict";
import {
  clean,
  cut,
  formatDuration,
  formatUtc,
  oneLine,
  sentence,
} from "../../supabase/functions/_shared/rules/text.ts";

Deno.test("clean() removes control characters and marks that turn the reading direction, and keeps the text", () => {
  assert.equal(clean("a\u0000b\u001b[31m\u202ec\u2066d\r\ne\rf\u2028g"), "ab[31mcd\ne\nf\ng");
  assert.equal(clean("خطأ 👩‍👩‍👧 é\ttab"), "خطأ 👩‍👩‍👧 é\ttab");
});

Deno.test("clean() makes lone surrogates well-formed", () => {
  assert.equal(clean("\ud800x\udfff"), "\ufffdx\ufffd");
});

Deno.test("oneLine() leaves no line break and no run of blanks", () => {
  assert.equal(oneLine("  a\r\n\tb  c\u0000 "), "a b c");
});

Deno.test("cut() keeps what fits and says how many characters it dropped", () => {
  assert.equal(cut("short", 5), "short");
  const text = cut("x".repeat(2_000), 100);
  assert.match(text, /^x+… 1,\d{3} more characters$/);
  assert.ok(text.length <= 100);
  const [, dropped = ""] = /… ([\d,]+) more/.exec(text) ?? [];
  assert.equal(Number(dropped.replace(",", "")) + text.indexOf("…"), 2_000);
});

Deno.test("cut() never splits a code point", () => {
  for (let limit = 30; limit < 60; limit++) {
    const text = cut("😀".repeat(200), limit);
    assert.ok(text.isWellFormed(), `limit ${limit}`);
    assert.ok(text.length <= limit);
  }
});

Deno.test("cut() counts in the unit it is given", () => {
  const doubled = (text: string) => text.length * 2;
  const text = cut("x".repeat(500), 100, doubled);
  assert.ok(doubled(text.slice(0, text.indexOf("…"))) <= 100);
});

Deno.test("sentence() begins with a capital, but for the name of a thing, and ends with a stop", () => {
  assert.equal(sentence("the last run failed"), "The last run failed.");
  assert.equal(sentence("pg_cron's launcher is not running"), "pg_cron's launcher is not running.");
});

Deno.test("formatUtc() names the zone, and seconds where there are any", () => {
  assert.equal(formatUtc(new Date("2026-11-21T03:00:00.4Z")), "2026-11-21 03:00 UTC");
  assert.equal(formatUtc(new Date("2026-11-21T03:00:05Z")), "2026-11-21 03:00:05 UTC");
  assert.equal(formatUtc(new Date("+010000-01-01T00:00:00Z")), "+010000-01-01 00:00 UTC");
});

Deno.test("formatDuration() says the two largest units", () => {
  const expected: [number, string][] = [
    [300, "less than 1 s"],
    [42_000, "42 s"],
    [72_000, "1 min 12 s"],
    [12 * 60_000 + 59_000, "12 min"],
    [3 * 3_600_000, "3 h"],
    [3 * 3_600_000 + 12 * 60_000, "3 h 12 min"],
    [53 * 3_600_000 + 59 * 60_000, "2 d 5 h"],
    [-5, "less than 1 s"],
  ];
  for (const [milliseconds, text] of expected) assert.equal(formatDuration(milliseconds), text);
});
