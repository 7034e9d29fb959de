import assert from "node:assert/strict";
import { runWith } from "../support/monitor_world.ts";

interface Golden {
  kind: string;
  seconds?: number;
  from?: number;
  horizon_minutes?: number;
  fires?: number[];
}

const golden: (Golden & { schedule: string; timezone: string })[] = Deno.readTextFileSync(
  new URL("../data/schedules.jsonl", import.meta.url),
).trim().split("\n").map((line) => JSON.parse(line));

async function answersTo(lines: readonly string[], args: string[] = []): Promise<unknown[]> {
  const { code, stdout, stderr, connections } = await runWith(["schedule", "--stdin", ...args], {}, {
    stdin: lines.join("\n"),
  });
  assert.deepEqual([code, stderr, connections], [0, "", []]);
  return stdout.split("\n").slice(0, -1).map((line) => JSON.parse(line));
}

Deno.test("schedule --stdin answers the golden schedules, a line each", async () => {
  const lines = golden.map(({ schedule, timezone, from = 0, horizon_minutes = 0 }) =>
    JSON.stringify({ schedule, timezone, from, count: 16, horizon_minutes, pg_cron: "1.6.7" })
  );
  const answers = await answersTo(lines) as (Golden & { error?: string })[];
  const told = answers.map(({ error: _, ...answer }) => answer);
  const want = golden.map(({ kind, seconds, fires }) => ({
    kind,
    ...(seconds === undefined ? {} : { seconds }),
    ...(fires === undefined ? {} : { fires }),
  }));
  assert.deepEqual(told, want);
});

Deno.test("schedule --stdin answers a bad line as invalid and goes on", async () => {
  const answers = await answersTo([
    "nonsense",
    "",
    "[]",
    '{"schedule": 5}',
    '{"schedule": "0 0 * * *", "timezone": "Mars/Olympus"}',
    '{"schedule": "61 * * * *"}',
    '{"schedule": "10 seconds", "timezone": null}',
  ]) as { kind: string; error?: string }[];
  assert.deepEqual(answers.map(({ kind }) => kind), [...Array(6).fill("invalid"), "interval"]);
  assert.ok(answers.slice(0, 6).every(({ error }) => error !== undefined && error !== ""));
});

Deno.test("schedule --stdin takes from the options what a line leaves out", async () => {
  const answers = await answersTo([
    '{"schedule": "0 12 * * *"}',
    '{"schedule": "0 12 * * *", "count": 2, "from": 0}',
  ], [
    ...["--timezone", "Europe/Berlin", "--from", "2026-11-21T12:00Z", "--count", "1"],
  ]);
  assert.deepEqual(answers, [
    { kind: "cron", fires: [Date.parse("2026-11-22T11:00Z") / 1000] },
    { kind: "cron", fires: [11 * 3600, 35 * 3600] },
  ]);
});

Deno.test("schedule --stdin answers each line before the next one comes", async () => {
  const script = new URL("../../scripts/monitor.ts", import.meta.url);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", script.pathname, "schedule", "--stdin"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  for (const seconds of [5, 7]) {
    await writer.write(new TextEncoder().encode(`{"schedule":"${seconds} seconds"}\n`));
    assert.deepEqual(await reader.read(), {
      done: false,
      value: `{"kind":"interval","seconds":${seconds}}\n`,
    });
  }
  await writer.close();
  assert.equal((await child.status).code, 0);
  await reader.cancel();
});

Deno.test("schedule explains in words, with times here and there", async () => {
  const { code, stdout } = await runWith([
    ...["schedule", "30 2 * * *", "--timezone", "Europe/Berlin", "--from", "2027-03-27", "--count", "2"],
  ]);
  assert.equal(code, 0);
  assert.match(stdout, /^At 02:30 every day \(Europe\/Berlin\)\n/);
  // the clock jumps over 02:30 on the 28th
  assert.match(
    stdout,
    /2027-03-27 01:30 UTC {2}Sat 2027-03-27 02:30 .*\n2027-03-29 00:30 UTC {2}Mon 2027-03-29 02:30/,
  );
});

Deno.test("schedule warns of what dies or never fires, by version of pg_cron", async () => {
  const old = await runWith(["schedule", "*/99 * * * *"]);
  assert.match(old.stdout, /! From pg_cron 1\.6\.5 on this schedule is invalid/);
  const newer = await runWith(["schedule", "*/99 * * * *", "--pg-cron", "1.6.7"]);
  assert.deepEqual([newer.code, newer.stdout], [2, ""]);
  assert.match(newer.stderr, /Cannot parse schedule ".*": step of minute must be 1 to 59/);
  const never = await runWith(["schedule", "0 0 31 2 *"]);
  assert.match(never.stdout, /^Never\n! No date satisfies this schedule/);
});

Deno.test("schedule --json is one document, also for what is invalid", async () => {
  const { code, stdout } = await runWith(["schedule", "0 * * * *", "--json", "--count", "1"]);
  assert.equal(code, 0);
  const { kind, words, fires, next } = JSON.parse(stdout);
  assert.deepEqual([kind, words, fires, next], ["cron", "every hour", [1795266000], [
    "2026-11-21T13:00:00.000Z",
  ]]);
  const bad = await runWith(["schedule", "x", "--json"]);
  assert.equal(bad.code, 2);
  assert.deepEqual(JSON.parse(bad.stdout).kind, "invalid");
});
