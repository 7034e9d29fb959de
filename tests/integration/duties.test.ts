/** What the hub knows of its own schedule, and of whether its alerts go out. */
import assert from "node:assert/strict";
import { readDuties } from "../../supabase/functions/_shared/hub/duties.ts";
import { runCheck } from "../../supabase/functions/check-job-health/run.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

/** A hub whose schedules are on. */
async function scheduledHub(): Promise<TestDatabase> {
  const db = await testDatabase("hub");
  await db.sql`select vault.create_secret('sb_secret_test', 'monitor_secret_key'),
                      vault.create_secret('http://127.0.0.1:8', 'project_url')`;
  await db.sql`select monitoring.enable_schedules()`;
  return db;
}

async function ran({ sql }: TestDatabase, name: string, minutesAgo: number, ended = true): Promise<void> {
  await sql`
    insert into check_runs (function_name, source, began_at, ended_at, status)
    values (${name}, 'cron', now() - make_interval(mins => ${minutesAgo}),
            case when ${ended} then now() - make_interval(mins => ${minutesAgo}) end,
            ${ended ? "failed" : "running"})`;
}

Deno.test("the hub knows its schedule as pg_cron has it, and nothing where there is none", async () => {
  await using db = await scheduledHub();
  assert.deepEqual(await readDuties(db.sql), {
    schedule: "*/15 * * * *",
    // Debian's pg_cron knows no time zones
    time_zone: null,
    alerts_silent_since: null,
  });
  await db.sql`select cron.schedule('check-job-health', '*/5 * * * *', 'select 1')`;
  assert.equal((await readDuties(db.sql)).schedule, "*/5 * * * *");
  await db.sql`select monitoring.disable_schedules()`;
  assert.equal((await readDuties(db.sql)).schedule, null);
});

Deno.test("alerts are silent when no send-alert has come to an end for ten minutes although it should", async () => {
  await using db = await scheduledHub();
  const silent = async () => (await readDuties(db.sql)).alerts_silent_since !== null;
  await ran(db, "check-job-health", 5);
  assert.equal(await silent(), false, "the schedule has just been switched on");
  await ran(db, "check-job-health", 20);
  assert.equal(await silent(), true, "it never ran");
  await ran(db, "send-alert", 12);
  await ran(db, "send-alert", 1, false);
  assert.equal(await silent(), true, "it begins, and dies");
  await ran(db, "send-alert", 2);
  assert.equal(await silent(), false, "it ran, whatever its vendors said");
  await db.sql`delete from check_runs where function_name = 'send-alert'`;
  await db.sql`select monitoring.disable_schedules()`;
  assert.equal(await silent(), false, "nobody expects it");
});

Deno.test("a project that watches the hub hears of a check only while the hub's alerts go out, and of no dry run", async () => {
  await using hub = await testDatabase("hub");
  await using project = await testDatabase("project");
  await watchOnlyOthers(hub);
  await project.sql.unsafe(`
    create schema monitoring_client;
    create table monitoring_client.visits (at timestamptz);
    create function monitoring_client.hub_was_here() returns void language sql security definer
      as $$ insert into monitoring_client.visits values (now()) $$`).simple();
  const check = async (input: Record<string, unknown>, silentSince: string | null) => {
    await project.sql`truncate monitoring_client.visits`;
    const duties = { schedule: null, time_zone: null, alerts_silent_since: silentSince };
    const config = configFor(hub, { smoothed: project.url });
    const deps = { sql: hub.sql, config, clock: () => new Date(), log: recordingLog(), duties };
    const report = await runCheck(deps, triggerInput.parse(input));
    assert.equal(report.errors, 0);
    return (await project.sql`select from monitoring_client.visits`).length;
  };
  assert.equal(await check({}, null), 1);
  assert.equal(await check({}, null), 1, "each time");
  assert.equal(await check({ dry_run: true }, null), 0);
  assert.equal(await check({}, "2026-11-21T11:00:00Z"), 0);
});
