import assert from "node:assert/strict";
import type postgres from "postgres";
import { testDatabase } from "../support/postgres.ts";
import { recordObservations, untilRecorded } from "../../supabase/functions/_shared/hub/record.ts";
import { readKnowledge } from "../../supabase/functions/_shared/hub/knowledge.ts";
import type {
  IncidentTransition,
  LoggedRun,
  Observations,
  ObservedJob,
} from "../../supabase/functions/_shared/domain/observation.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";

const JOB_ID = "00000000-0000-4000-8000-000000000001";

function job(over: Partial<ObservedJob> = {}): ObservedJob {
  return {
    id: JOB_ID,
    jobType: "pg_cron",
    jobName: "sync_leads",
    jobUser: "postgres",
    jobId: 1,
    schedule: "0 * * * *",
    command: "select 1",
    active: true,
    expectedIntervalMinutes: 60,
    ...over,
  };
}

function observations(over: Partial<Observations> = {}): Observations {
  return { projectName: "smoothed", projectRef: null, expectedVersion: 0, jobs: [job()], ...over };
}

function logged(status: LoggedRun["status"], over: Partial<LoggedRun> = {}): LoggedRun {
  return {
    jobInventoryId: JOB_ID,
    status,
    errorMessage: null,
    runAt: Date.parse("2026-11-21T10:00:00Z"),
    runId: 7,
    durationMs: 1500,
    source: "pg_cron",
    ...over,
  };
}

const OPEN = {
  action: "open",
  subjectKind: "job",
  subjectId: JOB_ID,
  jobInventoryId: JOB_ID,
  code: "failed",
  severity: "important",
  summary: "the last run failed",
  detail: {},
} as const;

async function discordConfig(sql: postgres.Sql): Promise<string> {
  const [row] =
    await sql`insert into alert_config (channel, webhook_url) values ('discord', 'env:X') returning id`;
  return row?.id;
}

Deno.test("an incident and the deliveries it owes are recorded together", async () => {
  await using db = await testDatabase("hub");
  const alertConfigId = await discordConfig(db.sql);
  const deliveries = [{ state: "due", channel: "discord", alertConfigId } as const];
  const done = await recordObservations(db.sql, observations({ incidents: [{ ...OPEN, deliveries }] }));
  assert.equal(done.incidentsOpened, 1);
  const [row] = await db.sql`
    select i.code, d.state, d.event, d.channel from incidents i
    join delivery_incidents di on di.incident_id = i.id join alert_deliveries d on d.id = di.delivery_id`;
  assert.deepEqual({ ...row }, { code: "failed", state: "due", event: "opened", channel: "discord" });
});

Deno.test("a second caller that read the same version is refused and changes nothing", async () => {
  await using db = await testDatabase("hub");
  await recordObservations(db.sql, observations());
  const late = recordObservations(
    db.sql,
    observations({ runs: [logged("success")], incidents: [{ ...OPEN, deliveries: [] }] }),
  );
  await assert.rejects(late, (error) => error instanceof AppError && error.code === "conflict");
  const [count] = await db.sql`
    select (select count(*) from incidents)::int as incidents, (select count(*) from job_health_log)::int as runs`;
  assert.deepEqual({ ...count }, { incidents: 0, runs: 0 });
});

Deno.test("twenty overlapping callers open one incident and log each run once", async () => {
  await using db = await testDatabase("hub");
  const alertConfigId = await discordConfig(db.sql);
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () =>
    recordObservations(
      db.sql,
      observations({
        runs: [logged("failed")],
        incidents: [{ ...OPEN, deliveries: [{ state: "due", channel: "discord", alertConfigId }] }],
      }),
    )));
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  const [count] = await db.sql`select (select count(*) from incidents)::int as incidents,
    (select count(*) from alert_deliveries)::int as deliveries, (select count(*) from job_health_log)::int as runs`;
  assert.deepEqual({ ...count }, { incidents: 1, deliveries: 1, runs: 1 });
});

Deno.test("untilRecorded() looks again after a conflict", async () => {
  await using db = await testDatabase("hub");
  let looks = 0;
  await untilRecorded(async () => {
    const { version } = await readKnowledge(db.sql, "smoothed");
    if (++looks === 1) await recordObservations(db.sql, observations({ expectedVersion: version }));
    return await recordObservations(db.sql, observations({ expectedVersion: version }));
  });
  assert.equal(looks, 2);
});

Deno.test("of six that look at a project at once, each is recorded in the end", async () => {
  await using db = await testDatabase("hub");
  await Promise.all(Array.from({ length: 6 }, () =>
    untilRecorded(async () => {
      const { version } = await readKnowledge(db.sql, "smoothed");
      return await recordObservations(db.sql, observations({ expectedVersion: version }));
    })));
  assert.equal((await readKnowledge(db.sql, "smoothed")).version, 6);
});

Deno.test("recording a job again leaves every annotation as a person wrote it", async () => {
  await using db = await testDatabase("hub");
  await recordObservations(db.sql, observations());
  await db
    .sql`update job_inventory set description = 'Leads', criticality = 'critical', owner = 'ada', grace_minutes = 7,
    alert_channel = 'team', runbook_url = 'https://x.test', success_criteria = 'rows', failure_threshold = 2`;
  const before = await db
    .sql`select to_jsonb(job_inventory) - 'last_seen_at' - 'schedule' - 'updated_at' as row from job_inventory`;
  await recordObservations(
    db.sql,
    observations({ expectedVersion: 1, jobs: [job({ schedule: "5 * * * *" })] }),
  );
  const after = await db
    .sql`select to_jsonb(job_inventory) - 'last_seen_at' - 'schedule' - 'updated_at' as row, schedule from job_inventory`;
  assert.deepEqual(after[0]?.row, before[0]?.row);
  assert.equal(after[0]?.schedule, "5 * * * *");
});

Deno.test("a removed job keeps its row and returns to it", async () => {
  await using db = await testDatabase("hub");
  await recordObservations(db.sql, observations());
  await recordObservations(db.sql, observations({ expectedVersion: 1, jobs: [], removed: [JOB_ID] }));
  const [gone] = await db.sql`select removed_at is not null as removed from job_inventory`;
  assert.equal(gone?.removed, true);
  await recordObservations(db.sql, observations({ expectedVersion: 2 }));
  const [back] = await db.sql`select removed_at is null as present from job_inventory`;
  assert.equal(back?.present, true);
});

Deno.test("runs are logged and counted per day; a setting keeps successes to the daily counts", async () => {
  await using db = await testDatabase("hub");
  await recordObservations(
    db.sql,
    observations({ runs: [logged("success"), logged("missed", { runId: null, durationMs: null })] }),
  );
  await db.sql`update app_settings set value = 'false' where key = 'log_successes'`;
  await recordObservations(
    db.sql,
    observations({ expectedVersion: 1, runs: [logged("success", { durationMs: 2500 }), logged("failed")] }),
  );
  const rows = await db
    .sql`select status, extract(epoch from duration)::float as seconds from job_health_log order by status, seconds`;
  assert.deepEqual(rows.map((row) => ({ ...row })), [
    { status: "failed", seconds: 1.5 },
    { status: "missed", seconds: null },
    { status: "success", seconds: 1.5 },
  ]);
  const [day] = await db.sql`select day::text, runs::int, successes::int, failures::int, missed::int,
    extract(epoch from duration_max)::float as longest from job_health_daily`;
  assert.deepEqual({ ...day }, {
    day: "2026-11-21",
    runs: 3,
    successes: 2,
    failures: 1,
    missed: 1,
    longest: 2.5,
  });
});

Deno.test("an incident resolves once and can open again afterwards", async () => {
  await using db = await testDatabase("hub");
  await recordObservations(db.sql, observations({ incidents: [{ ...OPEN, deliveries: [] }] }));
  const [incident] = (await readKnowledge(db.sql, "smoothed")).incidents;
  const resolve: IncidentTransition = {
    action: "resolve",
    id: incident?.id ?? "",
    resolution: "recovered",
    detail: {},
    deliveries: [],
  };
  const first = await recordObservations(db.sql, observations({ expectedVersion: 1, incidents: [resolve] }));
  const second = await recordObservations(db.sql, observations({ expectedVersion: 2, incidents: [resolve] }));
  assert.deepEqual([first.incidentsResolved, second.incidentsResolved], [1, 0]);
  const again = await recordObservations(
    db.sql,
    observations({ expectedVersion: 3, incidents: [{ ...OPEN, deliveries: [] }] }),
  );
  assert.equal(again.incidentsOpened, 1);
});

Deno.test("text with NUL, half an emoji or quotes is recorded, and the rest of it survives", async () => {
  await using db = await testDatabase("hub");
  const hostile = "a\0b'; drop table incidents; -- \ud83d \\u0000 \u202e";
  await recordObservations(
    db.sql,
    observations({
      jobs: [job({ jobName: hostile, command: hostile })],
      runs: [logged("failed", { errorMessage: hostile })],
      incidents: [{ ...OPEN, summary: hostile, detail: { errorMessage: hostile }, deliveries: [] }],
    }),
  );
  const [row] = await db.sql`select error_message from job_health_log`;
  assert.equal(row?.error_message, "ab'; drop table incidents; -- \ufffd \\u0000 \u202e");
  assert.equal((await readKnowledge(db.sql, "smoothed")).incidents.length, 1);
});
