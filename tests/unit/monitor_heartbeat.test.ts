import assert from "node:assert/strict";
import type { Heartbeat, NewHeartbeat } from "../../scripts/monitoring_api.ts";
import { NOON } from "../support/facts.ts";
import { runWith } from "../support/monitor_world.ts";

const URL = "https://ref.supabase.co/functions/v1/receive-heartbeat/0f4b1f3e-7c1d-4a52-9d27-2a3f9d1c0b77";

function heartbeat(over: Partial<Heartbeat> = {}): Heartbeat {
  return {
    job_name: "nightly_backup",
    project_name: "smoothed",
    job_type: "heartbeat",
    schedule: "0 2 * * *",
    time_zone: "Europe/Berlin",
    expected_interval_minutes: null,
    grace_minutes: 45,
    state: "healthy",
    stale: false,
    verdict: null,
    summary: "the last run succeeded",
    last_run_at: new Date(NOON - 3_600_000).toISOString(),
    last_word: "healthy",
    running_since: null,
    last_alert_at: null,
    alerts_quiet_until: null,
    tokens: 1,
    ...over,
  };
}

Deno.test("heartbeat add sets one up as the options say, and shows its URL with a line for a crontab", async () => {
  const wanted: NewHeartbeat[] = [];
  const added = (inInventory: boolean) => ({
    addHeartbeat: (one: NewHeartbeat) => {
      wanted.push(one);
      return Promise.resolve({ job_name: one.name, url: URL, in_inventory: inInventory });
    },
  });
  const nightly = ["heartbeat", "add", "nightly", "--schedule", "0 2 * * *", "--timezone", "Europe/Berlin"];
  const { code, stdout } = await runWith([...nightly, "--grace-minutes", "45"], added(true));
  assert.equal(code, 0);
  assert.match(stdout, new RegExp(`&& curl -fsS -m 10 --retry 5 -o /dev/null ${URL}`));
  const worker = [
    "heartbeat",
    "add",
    "worker",
    "--every",
    "5m",
    "--project",
    "smoothed",
    "--type",
    "webhook",
  ];
  const unheard = await runWith([...worker, "--json"], added(false));
  assert.deepEqual(JSON.parse(unheard.stdout), { job_name: "worker", url: URL, in_inventory: false });
  assert.match(unheard.stderr, /cron-healthcheck did not answer/);
  const nothing = { project: undefined, everyMinutes: undefined, schedule: undefined, timeZone: undefined };
  assert.deepEqual(wanted, [
    {
      ...nothing,
      name: "nightly",
      schedule: "0 2 * * *",
      timeZone: "Europe/Berlin",
      graceMinutes: 45,
      type: undefined,
    },
    {
      ...nothing,
      name: "worker",
      everyMinutes: 5,
      project: "smoothed",
      graceMinutes: undefined,
      type: "webhook",
    },
  ]);
});

Deno.test("heartbeat list tells when each is expected, when it ran and what is wrong", async () => {
  const listHeartbeats = () =>
    Promise.resolve([
      heartbeat(),
      heartbeat({
        ...{
          job_name: "worker",
          project_name: null,
          schedule: null,
          expected_interval_minutes: 5,
          grace_minutes: 2.5,
        },
        ...{
          state: "missed",
          stale: true,
          summary: "no run for the slot at noon",
          running_since: new Date(NOON - 60_000).toISOString(),
        },
        alerts_quiet_until: new Date(NOON + 60_000).toISOString(),
      }),
    ]);
  const { stdout } = await runWith(["heartbeat", "list"], { listHeartbeats });
  assert.match(
    stdout,
    /✓ healthy +nightly_backup +smoothed +at 02:00 every day \(Europe\/Berlin\), 45 min of grace +1 h ago/,
  );
  assert.match(stdout, /! missed +worker +the hub +every 5 min, 2 min 30 s of grace/);
  assert.match(stdout, /no run for the slot at noon; running for 1 min; alerts put off/);
  const none = await runWith(["heartbeat", "list"], { listHeartbeats: () => Promise.resolve([]) });
  assert.match(none.stdout, /There is no heartbeat yet/);
});

Deno.test("heartbeat rotate and remove do what they say", async () => {
  const asked: unknown[] = [];
  const monitor = {
    rotateHeartbeat: (name: string, keep: number) => {
      asked.push([name, keep]);
      return Promise.resolve({ job_name: name, url: URL });
    },
    removeHeartbeat: (name: string) => Promise.resolve(void asked.push(name)),
  };
  assert.match(
    (await runWith(["heartbeat", "rotate", "a"], monitor)).stdout,
    /the old one works for 24 hours/,
  );
  assert.match(
    (await runWith(["heartbeat", "rotate", "a", "--keep-hours", "0"], monitor)).stdout,
    /has ended/,
  );
  assert.match((await runWith(["heartbeat", "remove", "a"], monitor)).stdout, /a was removed/);
  assert.deepEqual(asked, [["a", 24], ["a", 0], "a"]);
});

Deno.test("bad values of heartbeat are faults of usage", async () => {
  for (
    const args of [
      ["heartbeat"],
      ["heartbeat", "add"],
      ["heartbeat", "add", "a", "--every", "soon"],
      ["heartbeat", "add", "a", "--every", "5m", "--schedule", "* * * * *"],
      ["heartbeat", "add", "a", "--type", "pg_cron"],
      ["heartbeat", "rotate", "a", "--keep-hours", "x"],
    ]
  ) {
    const { code, stdout } = await runWith(args);
    assert.deepEqual([args, code, stdout], [args, 2, ""]);
  }
});
