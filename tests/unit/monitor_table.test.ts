import assert from "node:assert/strict";
import { cutToWidth, tableLines } from "../../scripts/monitor/table.ts";
import { closestNames } from "../../scripts/monitor/closest_names.ts";
import { ago, relative } from "../../scripts/monitor/words.ts";
import { createProgress } from "../../scripts/monitor/terminal.ts";
import { at, NOON } from "../support/facts.ts";
import { NAMED_PAINT, PLAIN_PAINT } from "../support/monitor_world.ts";

const COLUMNS = [{ title: "job", narrowest: 6 }, { title: "n", align: "right" as const }, { title: "none" }];

function lines(rows: string[][], width = Infinity): string[] {
  return tableLines({ paint: PLAIN_PAINT, width }, COLUMNS, rows.map((row) => row.map((text) => ({ text }))));
}

Deno.test("a table aligns its columns and leaves out the empty ones", () => {
  assert.deepEqual(lines([["sync", "1", ""], ["日本", "12", ""]]), ["job    n", "sync   1", "日本  12"]);
});

Deno.test("a table of nothing has no lines", () => {
  assert.deepEqual(lines([]), []);
});

Deno.test("a table fits the terminal by cutting what may be cut, and no further", () => {
  assert.deepEqual(lines([["a_long_job_name", "1", ""]], 12), ["job        n", "a_long_j…  1"]);
  assert.deepEqual(lines([["a_long_job_name", "1", ""]], 4), ["job     n", "a_lon…  1"]);
});

Deno.test("a table takes short forms before it cuts", () => {
  const cells = [[{ text: "x" }, { text: "12 min ago, 11:48 UTC", short: "12 min ago" }]];
  const terminal = { paint: PLAIN_PAINT, width: 20 };
  assert.deepEqual(tableLines(terminal, [{ title: "" }, { title: "run" }], cells), [
    "   run",
    "x  12 min ago",
  ]);
});

Deno.test("colours do not count as width", () => {
  const cells = [[{ text: "x", paint: (text: string) => `\x1b[31m${text}\x1b[39m` }, { text: "y" }]];
  const [, row] = tableLines({ paint: PLAIN_PAINT, width: 10 }, [{ title: "one" }, { title: "two" }], cells);
  assert.equal(row, "\x1b[31mx\x1b[39m    y");
  const [head] = tableLines({ paint: { ...NAMED_PAINT, dim: (text) => text }, width: 10 }, COLUMNS, [[{
    text: "x",
  }]]);
  assert.equal(head, "job");
});

Deno.test("cutToWidth() counts wide characters twice and keeps letters whole", () => {
  assert.equal(cutToWidth("日本語の名前", 6), "日本…");
  assert.equal(cutToWidth("e\u0301e\u0301e\u0301", 2), "e\u0301…");
  assert.equal(cutToWidth("fits", 4), "fits");
});

Deno.test("closestNames() finds what was probably meant", () => {
  const known = ["sync_leads", "sync_contacts", "purge", "sync_leads"];
  assert.deepEqual(closestNames("snyc_leads", known), ["sync_leads"]);
  assert.deepEqual(closestNames("contacts", known), ["sync_contacts"]);
  assert.deepEqual(closestNames("nothing like it", known), []);
});

Deno.test("times are told relative and in UTC, with the date from a day on", () => {
  const now = NOON;
  assert.equal(ago(new Date(at("11:48")).toISOString(), now), "12 min ago, 11:48 UTC");
  assert.equal(ago("2026-11-19T06:00:00.000Z", now), "2 d 6 h ago, 2026-11-19 06:00 UTC");
  assert.equal(relative(500), "just now");
  assert.equal(relative(-3_600_000), "in 1 h");
});

Deno.test("progress says nothing of quick work and is taken back on a terminal", async () => {
  const written: string[] = [];
  const terminal = (isTerminal: boolean) => ({
    paint: PLAIN_PAINT,
    width: 80,
    isTerminal,
    print: (text = "") => void written.push(`${text}\n`),
    write: (text: string) => void written.push(text),
  });
  assert.equal(await createProgress(terminal(true))("Quick", () => Promise.resolve(1)), 1);
  assert.equal(written.length, 0);
  const slow = Promise.withResolvers<void>();
  const shown = Promise.withResolvers<void>();
  const watched = {
    ...terminal(true),
    write: (text: string) => {
      written.push(text);
      shown.resolve();
    },
  };
  const work = createProgress(watched, 0)("Slow", () => slow.promise);
  await shown.promise;
  slow.resolve();
  await work;
  assert.match(written[0] ?? "", /Slow 0 s/);
  assert.equal(written.at(-1), "\r\x1b[2K");
});
