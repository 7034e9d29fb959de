import assert from "node:assert/strict";
import { testDatabase } from "../support/postgres.ts";
import { addJob, addRun } from "../support/cron_rows.ts";
import {
  checkOf,
  incidentsOf,
  type LiveProject,
  liveProject,
  nextMinute,
  roomBeforeMinute,
  verdictsOf,
} from "../support/live_project.ts";
import { watchOnlyOthers } from "../support/functions.ts";
import { waitFor } from "../support/wait_for.ts";

/** A grace of about a second, so that a test need not wait for the usual two and a half minutes. */
const BRIEF = { grace_minutes: 0.02 };
const EVERY_MINUTE = "* * * * *";

// three live projects at once: each waits for the same full minutes
Deno.test({
  name: "what goes wrong in a live project is found, named and over when it is over",
  fn: async (t) => {
    // steps side by side cannot be told apart by what each leaves behind: the whole is looked at instead
    const live = (name: string, fn: () => Promise<void>) =>
      t.step({ name, fn, sanitizeOps: false, sanitizeResources: false, sanitizeExit: false });
    await roomBeforeMinute();
    const held = await Promise.all([
      live("jobs that fail, block, load too little, are paused and resumed", judgesJobs),
      live("a scheduler that is gone holds the misses of its jobs", noticesDeadScheduler),
      live("a crowded scheduler, a stopped server, its restart, and cron.log_run off", noticesRestart),
    ]);
    assert.ok(held.every(Boolean));
  },
});

async function judgesJobs(): Promise<void> {
  await using project = await liveProject();
  const { sql } = project.cluster;
  await sql`create table guarded as select 1 as id`;
  await sql`create table loads (n int)`;
  const load = "insert into loads select generate_series(1, 2)";
  await project.schedule("fails", EVERY_MINUTE, "select 1/0");
  await project.schedule("blocked", EVERY_MINUTE, "update guarded set id = id");
  await project.schedule("good", EVERY_MINUTE, load);
  await project.schedule("loads too little", EVERY_MINUTE, load);
  await project.schedule("loads enough", EVERY_MINUTE, load);
  await project.schedule("check holds", EVERY_MINUTE, load);
  await project.schedule("check does not hold", EVERY_MINUTE, load);
  await project.schedule("check is wrong", EVERY_MINUTE, load);
  await project.schedule("never fires", "0 0 31 2 *", load);
  await project.schedule("rests", EVERY_MINUTE, load);
  const first = await project.check();
  assert.deepEqual([first.jobs, first.failed, first.missed], [10, 0, 0]);
  await project.annotate("blocked", { max_runtime_minutes: 0.01 });
  await project.annotate("loads too little", { min_rows: 5 });
  await project.annotate("loads enough", { min_rows: 2 });
  await project.annotate("check holds", { success_check_sql: "select count(*) > 0 from loads" });
  await project.annotate("check does not hold", { success_check_sql: "select count(*) > 1000 from loads" });
  await project.annotate("check is wrong", { success_check_sql: "select loaded from loads" });
  await project.annotate("rests", BRIEF);

  const lock = await lockTable(project);
  await runsEnded(project, 8);
  await waitFor(
    async () =>
      (await sql`select from cron.job_run_details where status = 'running'
                           and start_time < clock_timestamp() - interval '1 second'`).length > 0,
    { what: "the blocked run to be stuck", withinMs: 60_000 },
  );
  assert.deepEqual(verdictsOf(await project.check()), {
    "blocked": ["failed", "stuck"],
    "check does not hold": ["failed", "criteria_not_met"],
    "check holds": ["healthy", null],
    "check is wrong": ["unknown", "criteria_not_met"],
    "fails": ["failed", "failed"],
    "good": ["healthy", null],
    "loads enough": ["healthy", null],
    "loads too little": ["failed", "criteria_not_met"],
    "never fires": ["unknown", "never_fires"],
    "rests": ["healthy", null],
  });
  await assertJobIncidents(project, lock.pid);

  await sql`select cron.alter_job(jobid, command := 'select 1') from cron.job where jobname = 'fails'`;
  await sql`select cron.alter_job(jobid, active := false) from cron.job where jobname = 'rests'`;
  await project.annotate("loads too little", { min_rows: 1 });
  await project.annotate("check does not hold", { success_check_sql: "select true" });
  assert.deepEqual(verdictsOf(await project.check())["rests"], ["paused", "paused"]);
  await lock.release();
  const minute = await nextMinute();
  await runsEnded(project, 8 + 9);
  await waitFor(() => Date.now() > minute + 3_000, {
    what: "the paused job's grace to pass",
    withinMs: 60_000,
  });
  await sql`select cron.alter_job(jobid, active := true) from cron.job where jobname = 'rests'`;
  const after = await project.check();
  const { "check is wrong": wrong, "never fires": never, ...others } = verdictsOf(after);
  assert.deepEqual([wrong, never], [["unknown", "criteria_not_met"], ["unknown", "never_fires"]]);
  for (const [job, verdict] of Object.entries(others)) assert.deepEqual(verdict, ["healthy", null], job);
  const open = (await incidentsOf(project.hub)).filter(({ resolution }) => resolution === null);
  assert.deepEqual(open.map(({ subject }) => subject).sort(), ["check is wrong", "never fires"]);
}

/** Holds a lock in a session of its own. */
async function lockTable({ cluster }: LiveProject): Promise<{ pid: number; release(): Promise<void> }> {
  const session = await cluster.admin.reserve();
  await session`begin`;
  await session`lock table guarded in access exclusive mode`;
  const [row] = await session<{ pid: number }[]>`select pg_backend_pid() as pid`;
  const release = async () => {
    await session`commit`;
    session.release();
  };
  return { pid: row?.pid ?? 0, release };
}

async function runsEnded({ cluster }: LiveProject, count: number): Promise<void> {
  await waitFor(
    async () => {
      const [row] = await cluster.sql`
        select count(*)::int as n from cron.job_run_details where status in ('succeeded', 'failed')`;
      return row?.n >= count;
    },
    { what: `${count} runs to end`, withinMs: 75_000, everyMs: 200 },
  );
}

async function assertJobIncidents({ hub }: LiveProject, lockHolder: number): Promise<void> {
  const incidents = new Map((await incidentsOf(hub)).map((incident) => [incident.subject, incident]));
  assert.match(incidents.get("fails")?.summary ?? "", /^the last run failed: ERROR: +division by zero/);
  const blocked = incidents.get("blocked");
  assert.match(blocked?.summary ?? "", /^running for .*max_runtime_minutes/);
  const expected = new RegExp(
    `waits for Lock:relation, held by session ${lockHolder} \\(supabase_admin, idle in transaction`,
  );
  assert.match(blocked?.cause ?? "", expected);
  assert.equal(
    incidents.get("loads too little")?.summary,
    "the run succeeded, but with 2 rows instead of 5 or more",
  );
  assert.match(incidents.get("check does not hold")?.summary ?? "", /answered false/);
  assert.match(incidents.get("check is wrong")?.summary ?? "", /column "loaded" does not exist/);
  const severities = ["check is wrong", "never fires"].map((job) => incidents.get(job)?.severity);
  assert.deepEqual(severities, ["low", "low"]);
  assert.equal(incidents.size, 6);
}

async function noticesDeadScheduler(): Promise<void> {
  await using project = await liveProject();
  const { admin } = project.cluster;
  const jobs = ["sync_leads", "send_mails", "clean_up"];
  for (const job of jobs) await project.schedule(job, EVERY_MINUTE, "select 1");
  await project.check();
  for (const job of jobs) await project.annotate(job, BRIEF);
  const old = () => admin`select where pg_postmaster_start_time() < clock_timestamp() - interval '6 seconds'`;
  await waitFor(async () => (await old()).length > 0, {
    what: "the server to be old enough",
    withinMs: 60_000,
  });
  const [killed] = await admin`
    select pg_terminate_backend(pid, 5000) as gone from pg_stat_activity where application_name = 'pg_cron scheduler'`;
  assert.equal(killed?.gone, true);
  assert.equal((await project.check()).incidents_opened, 0, "gone at one look only: it may be starting anew");
  assert.equal((await project.check()).incidents_opened, 1);

  const minute = await nextMinute();
  await waitFor(() => Date.now() > minute + 3_000, { what: "the jobs to be overdue", withinMs: 60_000 });
  const overdue = await project.check();
  assert.deepEqual([overdue.missed, overdue.incidents_opened], [3, 0]);
  const [down, ...others] = await incidentsOf(project.hub);
  assert.deepEqual(others, [], "one incident for the project, none for its jobs");
  assert.deepEqual([down?.subject, down?.code, down?.severity], ["smoothed", "scheduler_down", "important"]);
  assert.equal(down?.summary, "pg_cron's launcher is not running; 3 jobs are overdue");
  assert.deepEqual(down?.detail["heldJobs"], ["clean_up", "send_mails", "sync_leads"]);

  await project.cluster.stop();
  await project.start({ shared_preload_libraries: "" });
  const unloaded = await project.check();
  assert.deepEqual([unloaded.status, unloaded.missed, unloaded.incidents_opened], ["ok", 3, 0]);
  const [still] = await incidentsOf(project.hub);
  assert.match(still?.summary ?? "", /shared_preload_libraries does not load pg_cron; 3 jobs are overdue$/);

  await project.cluster.stop();
  await project.start();
  await runsEnded(project, 3);
  const back = await project.check();
  assert.deepEqual([back.healthy, back.incidents_resolved], [3, 1]);
  assert.deepEqual((await incidentsOf(project.hub)).map(({ code, resolution }) => [code, resolution]), [
    ["scheduler_down", "recovered"],
  ]);
}

async function noticesRestart(): Promise<void> {
  await using project = await liveProject({ "cron.max_running_jobs": "2" });
  const { sql } = project.cluster;
  for (const job of ["long 1", "long 2", "long 3"]) {
    await project.schedule(job, EVERY_MINUTE, "select pg_sleep(300)");
  }
  await project.check();
  await project.hub.sql`update job_inventory set ${project.hub.sql(BRIEF)}`;
  const minute = await nextMinute();
  await waitFor(
    async () =>
      (await sql`select from cron.job_run_details where status = 'running'`).length === 2 &&
      Date.now() > minute + 3_000,
    { what: "two runs in progress", withinMs: 60_000 },
  );
  const crowded = await project.check();
  assert.deepEqual(Object.values(verdictsOf(crowded)).map(([status, verdict]) => verdict ?? status).sort(), [
    "first_run",
    "first_run",
    "never_ran",
  ]);
  const [waits] = await incidentsOf(project.hub);
  assert.equal(waits?.cause, "all 2 places of cron.max_running_jobs are taken");

  await project.cluster.stop("immediate");
  const down = await project.check();
  assert.deepEqual([down.status, down.error?.code, down.unknown, down.missed], [
    "error",
    "unreachable",
    3,
    0,
  ]);
  await project.start();
  const back = await project.check();
  assert.deepEqual([back.status, back.failed], ["ok", 2]);
  const cut = (await incidentsOf(project.hub)).filter(({ code }) => code === "failed");
  assert.deepEqual(cut.map(({ cause }) => cause), Array(2).fill("the server restarted while the job ran"));
  assert.match(cut[0]?.summary ?? "", /server restarted/);
  assert.equal(await resolutionOf(project, "unreachable"), "recovered");

  await project.cluster.stop();
  await project.start({ "cron.log_run": "off" });
  await project.schedule("scheduled since", EVERY_MINUTE, "select 1");
  const blind = await project.check();
  assert.equal(blind.healthy, 0);
  assert.deepEqual(verdictsOf(blind)["scheduled since"], ["unknown", "log_run_off"]);
  assert.equal(await resolutionOf(project, "log_run_off"), null);
  await project.cluster.stop();
  await project.start({ "cron.log_run": "on" });
  await project.check();
  assert.equal(await resolutionOf(project, "log_run_off"), "recovered");
}

/** How the project's incident of a code ended; `null`: it holds. */
async function resolutionOf({ hub }: LiveProject, code: string): Promise<string | null> {
  const found = (await incidentsOf(hub)).filter((incident) => incident.code === code);
  assert.deepEqual(found.map(({ subject }) => subject), ["smoothed"], code);
  return found[0]?.resolution ?? null;
}

Deno.test("a role whose privilege is revoked is told as such, its jobs are unknown, and all is well when it is back", async () => {
  await using hub = await testDatabase("hub");
  await using project = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addRun(project, await addJob(project, { schedule: "0 0 1 1 *" }));
  const role = `reader_${crypto.randomUUID().slice(0, 8)}`;
  await project.admin.unsafe(`create role ${role} login bypassrls password 'reading' in role pg_monitor;
    grant usage on schema cron to ${role}; grant select on all tables in schema cron to ${role}`);
  const url = new URL(project.url);
  url.username = role;
  url.password = "reading";
  try {
    const granted = await checkOf(hub, url.href);
    assert.deepEqual([granted.jobs, granted.healthy], [1, 1]);
    for (const revoke of [`alter role ${role} nobypassrls`, `revoke usage on schema cron from ${role}`]) {
      await project.admin.unsafe(revoke);
      const report = await checkOf(hub, url.href);
      assert.deepEqual([report.error?.code, report.jobs, report.unknown], ["no_privilege", 1, 1], revoke);
    }
    await project.admin.unsafe(`alter role ${role} bypassrls; grant usage on schema cron to ${role}`);
    const back = await checkOf(hub, url.href);
    assert.deepEqual([back.status, back.healthy, back.incidents_resolved], ["ok", 1, 1]);
    assert.deepEqual((await incidentsOf(hub)).map(({ code }) => code), ["no_privilege"]);
  } finally {
    await project.admin.unsafe(`drop owned by ${role}; drop role ${role}`);
  }
});

Deno.test("a session that is killed while it reads makes the project unreachable, and nothing else", async () => {
  await using hub = await testDatabase("hub");
  await using project = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addRun(project, await addJob(project, { schedule: "0 0 1 1 *" }));
  const session = await project.admin.reserve();
  await session`begin`;
  await session`lock table cron.job in access exclusive mode`;
  const checking = checkOf(hub, project.url);
  // not in the session with the lock: within a transaction pg_stat_activity stays as it was first seen
  const killReader = () =>
    project.admin`
      select pg_terminate_backend(pid) as ended from pg_stat_activity
      where datname = ${project.name} and application_name = 'supabase-job-monitor' and wait_event_type = 'Lock'`;
  await waitFor(async () => (await killReader()).length > 0, {
    what: "the reader to wait",
    withinMs: 60_000,
  });
  const report = await checking;
  await session`commit`;
  session.release();
  assert.deepEqual([report.status, report.error?.code], ["error", "unreachable"]);
  assert.equal((await checkOf(hub, project.url)).healthy, 1);
});
