/** The demo history: worth looking at, there once however often it is written, and nobody is alerted by it. */
import assert from "node:assert/strict";
import type postgres from "postgres";
import { DEMO_PROJECTS, seedDemoHistory } from "../../scripts/local/demo_history.ts";
import { healthcheckInput } from "../../supabase/functions/cron-healthcheck/input.ts";
import { runHealthcheck } from "../../supabase/functions/cron-healthcheck/run.ts";
import { openHub } from "../../supabase/functions/_shared/hub/client.ts";
import { readReportFacts } from "../../supabase/functions/_shared/hub/reports.ts";
import { readStatus } from "../../supabase/functions/_shared/hub/status.ts";
import { composeReport } from "../../supabase/functions/_shared/rules/report.ts";
import { reportMail } from "../../supabase/functions/_shared/rules/report_html.ts";
import { reportPeriod } from "../../supabase/functions/_shared/rules/report_period.ts";
import { reportStatus } from "../../supabase/functions/_shared/rules/status.ts";
import { recordingLog } from "../support/functions.ts";
import { addDiscord, addIncident, addTelegram, onStage } from "../support/outbox.ts";
import { testDatabase } from "../support/postgres.ts";

const DAY_MS = 86_400_000;
/** What a report says where there is something to say of everything. */
const SECTIONS = [
  ...["Numbers", "Projects", "Open incidents", "Incidents that ended", "Jobs with failures", "Errors"],
  ...["Slowest jobs", "Slowing jobs", "Cost", "Queues", "Metrics", "Alerts", "Silenced"],
  ...["Jobs that nobody has described", "Changes in the inventory"],
];

Deno.test("the demo history gives every section of both reports something to say, and the status too", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql);
  const hub = openHub({ databaseUrl: db.url, caCert: null });
  try {
    for (const kind of ["daily", "weekly"] as const) {
      const period = reportPeriod(kind, new Date());
      const report = composeReport(await readReportFacts(hub, period, 50), period);
      assert.deepEqual(report.sections.map(({ title }) => title), SECTIONS, kind);
      assert.ok(report.actions.length >= 8, kind);
      assert.match(reportMail(report).html, /demo-shop/);
    }
    const status = reportStatus(await readStatus(hub));
    assert.deepEqual(status.projects.map(({ name }) => name), [...DEMO_PROJECTS].sort());
    assert.deepEqual(
      [...new Set(status.jobs.map((job) => job.status))].sort(),
      ["failed", "healthy", "unknown"],
    );
    assert.ok(status.jobs.some(({ type }) => type === "edge_function"));
    assert.equal(status.outbox.due + status.outbox.held + status.outbox.unroutable, 0);
  } finally {
    await hub.end({ timeout: 1 });
  }
});

/** How much there is of what each table holds, by whom it is of. */
async function countRows(sql: postgres.Sql): Promise<Record<string, number>> {
  const tables = [
    ...["job_inventory", "job_heartbeats", "inventory_changes", "silences", "metric_state"],
    ...["metric_collections", "project_state", "metric_definitions"],
  ];
  const counts = await Promise.all(tables.map(async (table) => {
    const [row] = await sql.unsafe(`select count(*)::integer as count from ${table}`);
    return [table, row?.["count"]] as const;
  }));
  return Object.fromEntries(counts);
}

Deno.test("written twice, the demo history is there once, and what is of others is as it was", () =>
  onStage(async (stage) => {
    const { sql } = stage;
    await addIncident(stage);
    await sql`insert into check_runs (function_name, source, ended_at, status) values ('send-alert', 'cron', now(), 'complete')`;
    await seedDemoHistory(sql, { days: 3 });
    const once = await countRows(sql);
    await seedDemoHistory(sql, { days: 3 });
    assert.deepEqual(await countRows(sql), once);
    const twice = await sql`
      select 'runs' as what from job_health_log group by job_inventory_id, run_at having count(*) > 1
      union all
      select 'checks' from check_runs group by function_name, began_at having count(*) > 1
      union all
      select 'numbers' from system_metrics group by project_name, metric_name, labels, recorded_at having count(*) > 1
      union all
      select 'incidents' from incidents group by subject_kind, subject_id, code, opened_at having count(*) > 1
      union all
      select 'deliveries' from alert_deliveries d
      where not exists (select from delivery_incidents t where t.delivery_id = d.id)
      union all
      select 'executions' from function_executions group by function_name, started_at having count(*) > 1`;
    assert.deepEqual([...twice], []);
    const [left] = await sql`
      select (select count(*) from incidents where project_name = 'smoothed')::integer as incidents,
             (select count(*) from job_inventory where project_name = 'smoothed')::integer as jobs,
             (select count(*) from check_runs where source = 'cron')::integer as checks`;
    assert.deepEqual({ ...left }, { incidents: 1, jobs: 1, checks: 1 });
  }));

Deno.test("nobody is alerted by the demo history, now or for weeks, also when it is written again", () =>
  onStage(async (stage) => {
    await addDiscord(stage, { criticality: "important" });
    await addDiscord(stage, { criticality: "low" });
    await addTelegram(stage, { criticality: "critical", escalation_minutes: 5 });
    const healthcheck = () =>
      runHealthcheck(
        { sql: stage.hub, config: { hubProjectName: "thordata" }, log: recordingLog() },
        healthcheckInput.parse({}),
      );
    for (const again of [false, true]) {
      await seedDemoHistory(stage.sql, { days: 3 });
      const heard = await healthcheck();
      const { jobs, healthy, incidents_opened } = heard;
      assert.deepEqual([jobs, healthy, incidents_opened], [2, 2, 0], String(again));
      for (const days of [0, 1, 21]) {
        const now = new Date(Date.now() + days * DAY_MS);
        const { deliveries, sent, retried, failed, unroutable } = await stage.run({}, { clock: () => now });
        assert.deepEqual({ deliveries, sent, retried, failed, unroutable }, {
          ...{ deliveries: [], sent: 0, retried: 0, failed: 0, unroutable: 0 },
        }, `${days} days on`);
      }
    }
    assert.deepEqual(stage.sink.deliveries(), []);
    // their words are the one thing that grows old: for a month nothing is missed
    await stage.sql`update job_heartbeats set last_run_at = now() - interval '21 days'`;
    assert.equal((await healthcheck()).incidents_opened, 0);
  }));
