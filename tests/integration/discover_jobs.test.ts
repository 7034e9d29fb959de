import assert from "node:assert/strict";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { addJob } from "../support/cron_rows.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { startManagementApi } from "../fakes/management_api.ts";
import { runDiscovery } from "../../supabase/functions/discover-jobs/run.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { systemClock } from "../../supabase/functions/_shared/clock.ts";

function discover(hub: TestDatabase, projects: Record<string, string>, more: Record<string, string> = {}) {
  const deps = {
    sql: hub.sql,
    config: configFor(hub, projects, more),
    clock: systemClock,
    log: recordingLog(),
  };
  return runDiscovery(deps, triggerInput.parse({}));
}

Deno.test("discovery lists named, unnamed and same-named jobs, each once, by role", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  const unnamed = await addJob(smoothed, { name: null });
  await addJob(smoothed, { name: "purge" });
  await addJob(smoothed, { name: "purge", user: "service_role" });
  await addJob(smoothed, { name: "paused", active: false, schedule: "*/5 * * * *" });
  await discover(hub, { smoothed: smoothed.url });
  await discover(hub, { smoothed: smoothed.url });
  const rows = await hub.sql`
    select job_name, job_user, active, expected_interval_minutes::float as minutes from job_inventory order by 1, 2`;
  assert.deepEqual(rows.map((row) => Object.values(row)), [
    [`job ${unnamed}`, "postgres", true, 60],
    ["paused", "postgres", false, 5],
    ["purge", "postgres", true, 60],
    ["purge", "service_role", true, 60],
  ]);
});

Deno.test("what changed is kept: added, rescheduled, paused, removed, returned", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  const jobId = await addJob(smoothed);
  const look = () => discover(hub, { smoothed: smoothed.url });
  await look();
  await smoothed.admin`update cron.job set schedule = '5 * * * *', active = false where jobid = ${jobId}`;
  await look();
  await smoothed.admin`delete from cron.job`;
  await look();
  await look();
  await addJob(smoothed, { schedule: "5 * * * *", active: false });
  await look();
  const changes = await hub.sql`select change, old_value, new_value from inventory_changes order by id`;
  assert.deepEqual(changes.map((row) => row.change), [
    "added",
    "paused",
    "schedule",
    "removed",
    "returned",
    "job_id",
  ]);
  assert.deepEqual([changes[2]?.old_value, changes[2]?.new_value], ["0 * * * *", "5 * * * *"]);
});

Deno.test("annotations outlive unschedule and reschedule", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await addJob(smoothed);
  await discover(hub, { smoothed: smoothed.url });
  await hub.sql`update job_inventory set criticality = 'critical', description = 'Leads', owner = 'ada'`;
  await smoothed.admin`delete from cron.job`;
  await discover(hub, { smoothed: smoothed.url });
  await addJob(smoothed);
  await discover(hub, { smoothed: smoothed.url });
  const [job] = await hub.sql`select criticality, description, owner, removed_at from job_inventory`;
  assert.deepEqual({ ...job }, {
    criticality: "critical",
    description: "Leads",
    owner: "ada",
    removed_at: null,
  });
});

Deno.test("a project that cannot be read is an error in the answer and in the hub, never zero jobs", async () => {
  await using hub = await testDatabase("hub");
  await watchOnlyOthers(hub);
  const report = await discover(hub, { scraping: "postgresql://u:secret@127.0.0.1:1/postgres" });
  assert.deepEqual([report.errors, report.projects[0]?.status], [1, "error"]);
  const [row] = await hub.sql`select s.error_code, i.code from project_state s, incidents i`;
  assert.deepEqual({ ...row }, { error_code: "unreachable", code: "unreachable" });
});

Deno.test("edge functions come from the Management API where a ref and a token are known", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await using api = startManagementApi({ token: "sbp_test" });
  await watchOnlyOthers(hub);
  const ref = "abcdefghijklmnopqrst";
  await hub.sql`insert into monitored_projects (name, project_ref) values ('smoothed', ${ref})`;
  api.deploy(ref, [{ slug: "sync-leads" }, { slug: "gone", status: "REMOVED" }]);
  const more = { MANAGEMENT_API_URL: api.url, MANAGEMENT_API_TOKEN: "sbp_test" };
  const report = await discover(hub, { smoothed: smoothed.url }, more);
  assert.equal(report.edge_functions, 1);
  const rows = await hub.sql`select job_name, project_id from job_inventory where job_type = 'edge_function'`;
  assert.deepEqual(rows.map((row) => ({ ...row })), [{ job_name: "sync-leads", project_id: ref }]);
});

Deno.test("a Management API that refuses is an error of its own and keeps the functions that were known", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await using api = startManagementApi({ token: "sbp_test" });
  await watchOnlyOthers(hub);
  const ref = "abcdefghijklmnopqrst";
  await hub.sql`insert into monitored_projects (name, project_ref) values ('smoothed', ${ref})`;
  api.deploy(ref, [{ slug: "sync-leads" }]);
  await addJob(smoothed);
  const good = { MANAGEMENT_API_URL: api.url, MANAGEMENT_API_TOKEN: "sbp_test" };
  await discover(hub, { smoothed: smoothed.url }, good);
  const report = await discover(hub, { smoothed: smoothed.url }, {
    ...good,
    MANAGEMENT_API_TOKEN: "sbp_wrong",
  });
  assert.deepEqual([report.jobs, report.projects[0]?.errors[0]?.code], [1, "management_api"]);
  assert.ok(!JSON.stringify(report).includes("sbp_wrong"));
  const [row] = await hub.sql`select removed_at from job_inventory where job_type = 'edge_function'`;
  assert.equal(row?.removed_at, null);
});

Deno.test("drift that a discovery finds is told once where alert_on_drift is true", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await hub.sql`update app_settings set value = 'true' where key = 'alert_on_drift'`;
  const jobId = await addJob(smoothed);
  const look = () => discover(hub, { smoothed: smoothed.url });
  await look();
  await smoothed.admin`update cron.job set jobname = 'copy_leads' where jobid = ${jobId}`;
  await look();
  await look();
  const incidents = await hub.sql`select code, summary, resolution from incidents`;
  assert.deepEqual(incidents.map((row) => ({ ...row })), [
    { code: "drift", summary: 'it is now called "copy_leads"', resolution: "told" },
  ]);
});
