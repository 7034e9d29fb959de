/** What pg_cron's settings come to where a project does not show them all. */
import assert from "node:assert/strict";
import type { CronSettings } from "../../supabase/functions/_shared/domain/facts.ts";
import { evaluateProject } from "../../supabase/functions/_shared/rules/evaluate.ts";
import { settingsOf } from "../../supabase/functions/_shared/sources/cron_facts.ts";
import { afterwards, at, cronJob, facts, inventoryJob, knowledge, NOON, run } from "../support/facts.ts";

const SHOWN = { "cron.log_run": "on", "cron.max_running_jobs": "32" };

Deno.test("settings that a project shows are taken as they are, and pg_cron before 1.5 runs by GMT", () => {
  const berlin = { ...SHOWN, "cron.timezone": "Europe/Berlin" };
  const cases: [settings: Record<string, string>, version: string, timeZone: string][] = [
    [berlin, "1.6", "Europe/Berlin"],
    // the extension was not updated after its library
    [berlin, "1.4", "Europe/Berlin"],
    [SHOWN, "1.4", "GMT"],
  ];
  for (const [settings, pgCronVersion, timeZone] of cases) {
    assert.deepEqual(settingsOf({ settings, maySeeSettings: true, pgCronVersion }), {
      timeZone,
      logRun: true,
      maxRunningJobs: 32,
      pgCronVersion,
      access: "readable",
    });
  }
});

Deno.test("a time zone that may not be read is not taken for GMT, unless pg_cron is older than the setting", () => {
  const versions: [pgCronVersion: string | null, timeZone: string | null][] = [
    ["1.6", null],
    ["1.5", null],
    ["1.10", null],
    ["2.0", null],
    [null, null],
    ["1.4", "GMT"],
    ["1.4-1", "GMT"],
    ["1.3", "GMT"],
  ];
  for (const [pgCronVersion, timeZone] of versions) {
    const read = settingsOf({ settings: null, maySeeSettings: false, pgCronVersion });
    assert.deepEqual(
      [read.timeZone, read.logRun, read.access],
      [timeZone, null, "no_privilege"],
      `${pgCronVersion}`,
    );
  }
});

Deno.test("settings that do not exist for a role that sees all mean that pg_cron is not loaded", () => {
  const read = settingsOf({ settings: null, maySeeSettings: true, pgCronVersion: "1.6" });
  assert.deepEqual([read.timeZone, read.logRun, read.access], [null, null, "not_loaded"]);
});

const HIDDEN: CronSettings = {
  timeZone: null,
  logRun: null,
  maxRunningJobs: null,
  pgCronVersion: "1.6",
  access: "no_privilege",
};

function look(over: Parameters<typeof facts>[0], known = knowledge()) {
  const seen = facts(over);
  let id = 0;
  const evaluation = evaluateProject({ name: "smoothed", ref: null }, seen, known, seen.now, () => `${++id}`);
  return { evaluation, after: afterwards(known, evaluation) };
}

function opened({ evaluation }: ReturnType<typeof look>) {
  return (evaluation.observations.incidents ?? []).flatMap((one) =>
    one.action === "open" ? [[one.subjectKind, one.code, one.severity]] : []
  );
}

const NIGHTLY = cronJob({ schedule: "0 2 * * *" });

Deno.test("without the right to read cron.timezone no slot is judged, and the missing grant is named", () => {
  const first = look({ reading: "first", jobs: [NIGHTLY], runs: [run(at("02:00"))], settings: HIDDEN });
  assert.deepEqual(opened(first), [["project", "settings_hidden", "low"]]);
  const [job] = first.evaluation.jobs;
  assert.deepEqual([job?.status, job?.verdict], ["unknown", "time_zone_unknown"]);
  assert.match(job?.summary ?? "", /^cron\.timezone cannot be read.*grant pg_read_all_settings/);
  const later = look({ now: NOON + 48 * 60 * 60_000, jobs: [NIGHTLY], settings: HIDDEN }, first.after);
  assert.deepEqual([opened(later), later.evaluation.jobs[0]?.status], [[], "unknown"]);
  assert.deepEqual(later.evaluation.observations.runs, []);
});

Deno.test("what does not hang on the time zone is judged all the same: failures, and jobs of some seconds", () => {
  const failed = run(at("11:59"), { status: "failed", message: "ERROR: boom" });
  const failing = look({ reading: "first", runs: [failed], settings: HIDDEN });
  assert.deepEqual(opened(failing).map(([, code]) => code), ["settings_hidden", "failed"]);
  const jobs = [cronJob({ schedule: "30 seconds" })];
  const pulse = look({ now: NOON, reading: "first", jobs, runs: [run(NOON - 20_000)], settings: HIDDEN });
  assert.equal(pulse.evaluation.jobs[0]?.status, "healthy");
  const silent = look({ now: at("12:10"), jobs, settings: HIDDEN }, pulse.after);
  assert.deepEqual(opened(silent).map(([, code]) => code), ["missed"]);
});

Deno.test("slots count from the look at which the time zone can be read again, and the incident is over", () => {
  const hidden = look({ reading: "first", jobs: [NIGHTLY], runs: [run(at("02:00"))], settings: HIDDEN });
  const settings = { ...facts().settings, timeZone: "Asia/Kathmandu" };
  const back = look({ now: at("23:00"), jobs: [NIGHTLY], settings }, hidden.after);
  assert.deepEqual(back.evaluation.observations.incidents?.map(({ action }) => action), ["resolve"]);
  assert.equal(back.evaluation.jobs[0]?.status, "healthy");
});

Deno.test("where cron.log_run cannot be read, a run since the server's start shows that runs are logged", () => {
  const settings: CronSettings = { ...HIDDEN, timeZone: "GMT", pgCronVersion: "1.4" };
  const restarted = { serverStartedAt: at("11:30"), settings };
  const quiet = look({ now: at("12:05"), reading: "first", runs: [run(at("11:00"))], ...restarted });
  assert.deepEqual(opened(quiet), [["project", "settings_hidden", "low"]]);
  assert.equal(quiet.evaluation.jobs[0]?.verdict, "log_run_unknown");
  const shown = look({ now: at("13:05"), runs: [run(at("13:00"))], ...restarted }, quiet.after);
  assert.deepEqual(shown.evaluation.observations.incidents?.map(({ action }) => action), ["resolve"]);
  assert.equal(shown.evaluation.jobs[0]?.status, "healthy");
  const missed = look({ now: at("14:40"), ...restarted }, shown.after);
  assert.deepEqual(opened(missed), [["job", "missed", "important"]]);
});

Deno.test("while pg_cron is not loaded its scheduler is down, and slots are those of the time zone before", () => {
  const settings = { ...facts().settings, timeZone: "Asia/Kathmandu" };
  const jobs = [cronJob({ schedule: "45 17 * * *" })];
  const known = knowledge({ jobs: [inventoryJob({ schedule: "45 17 * * *" })] });
  const before = look({ now: at("12:05"), reading: "first", jobs, runs: [run(NOON)], settings }, known);
  assert.equal(before.after.timeZone, "Asia/Kathmandu");
  const absent: CronSettings = { ...HIDDEN, access: "not_loaded" };
  const gone = look({ now: at("12:10"), jobs, settings: absent, launcherAlive: null }, before.after);
  assert.deepEqual(opened(gone), [["project", "scheduler_down", "important"]]);
  assert.equal(gone.after.timeZone, "Asia/Kathmandu");
  const day = 24 * 60 * 60_000;
  const noon = look({ now: at("13:01") + day, jobs, settings: absent, launcherAlive: null }, gone.after);
  assert.deepEqual(noon.evaluation.jobs[0]?.status, "missed");
});
