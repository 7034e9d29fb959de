/**
 * Every query of the runbook that the heartbeats come from (seed 003), against our schema, on data where it has something
 * to find. As written there, except where that is malformed: then what is wrong with it, and the form that works.
 */
import assert from "node:assert/strict";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { addJob, addRun } from "../support/cron_rows.ts";

/** A query, in the words of that runbook. */
interface Query {
  title: string;
  sql: string;
  /** What Postgres says of the query as it was written, where it is malformed. */
  written?: { sql: string; refused: RegExp };
  /** Rows found or changed; default: some. */
  rows?: number;
}

const POST_BODY = `'{"trigger": "manual", "timestamp": "' || now() || '"}'::jsonb`;
const HEADERS = `'{"Content-Type": "application/json"}'::jsonb`;
const URL =
  `(SELECT RTRIM(value, '/') || '/functions/v1/cron-healthcheck' FROM public.app_settings WHERE key = 'edge_base_url')`;

/** The call with a body that is one, and the key that the function wants. */
const CALL = `SELECT net.http_post(
  url := ${URL},
  headers := jsonb_build_object('Content-Type', 'application/json',
    'apikey', (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'monitor_secret_key')),
  body := jsonb_build_object('trigger', 'manual', 'timestamp', now()))`;

const QUERIES: readonly Query[] = [
  {
    title: "monitor stale jobs",
    sql:
      `SELECT job_name, last_run_at, EXTRACT(hours FROM (now() - last_run_at)) as hours_overdue, status, last_alert_at,
  CASE WHEN last_alert_at IS NULL THEN 'Never alerted'
    ELSE EXTRACT(hours FROM (now() - last_alert_at)) || ' hours ago' END as last_alert_info
FROM job_heartbeats WHERE last_run_at < (now() - interval '24 hours') ORDER BY last_run_at ASC`,
    rows: 3,
  },
  {
    title: "check alert history",
    sql: `SELECT job_name, last_run_at, last_alert_at, status, metadata FROM job_heartbeats
WHERE last_alert_at > (now() - interval '48 hours') ORDER BY last_alert_at DESC`,
    rows: 1,
  },
  {
    title: "view healthy jobs",
    sql:
      `SELECT job_name, last_run_at, status, EXTRACT(hours FROM (now() - last_run_at)) as hours_since_last_run
FROM job_heartbeats WHERE last_run_at > (now() - interval '24 hours') ORDER BY last_run_at DESC`,
    rows: 1,
  },
  {
    title: "anti-spam analysis",
    sql: `SELECT date_trunc('day', last_alert_at) as alert_date, COUNT(*) as alerts_sent,
  COUNT(DISTINCT job_name) as unique_jobs_alerted
FROM job_heartbeats WHERE last_alert_at > (now() - interval '7 days')
GROUP BY date_trunc('day', last_alert_at) ORDER BY alert_date DESC`,
    rows: 1,
  },
  {
    title: "dynamic configuration",
    sql: `INSERT INTO app_settings (key, value) VALUES ('edge_base_url', 'https://your-project.supabase.co')
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value`,
    rows: 1,
  },
  {
    title: "cron setup",
    sql: `SELECT cron.schedule('cron-healthcheck-job', '0 */6 * * *',
  $$select monitoring.invoke_edge_function('cron-healthcheck', '{"source":"cron"}')$$)`,
    rows: 1,
  },
  {
    title: "what the cron job runs",
    written: {
      sql: `select net.http_post(url := ${URL}, headers := ${HEADERS}, body := ${POST_BODY}) as request_id`,
      refused: /invalid input syntax for type json/,
    },
    sql: CALL,
    rows: 1,
  },
  {
    title: "verify secrets are configured",
    sql:
      `SELECT name FROM vault.secrets WHERE name IN ('SLACK_WEBHOOK_URL', 'RESEND_API_KEY', 'RESEND_FROM')`,
    rows: 1,
  },
  {
    title: "check anti-spam timing",
    written: {
      sql: `SELECT EXTRACT(hours FROM (now() - COALESCE(last_alert_at, '-infinity'))) FROM job_heartbeats`,
      refused: /cannot subtract infinite timestamps/,
    },
    sql: `SELECT job_name, last_run_at, last_alert_at,
  round(EXTRACT(epoch FROM (now() - last_run_at)) / 3600, 1) as hours_overdue,
  round(EXTRACT(epoch FROM (now() - last_alert_at)) / 3600, 1) as hours_since_alert,
  CASE WHEN last_alert_at IS NULL THEN 'Never alerted (should alert)'
    WHEN (now() - last_alert_at) < interval '6 hours' THEN 'Suppressed (< 6h since last alert)'
    ELSE 'Should alert (>= 6h since last alert)' END as alert_status
FROM job_heartbeats WHERE last_run_at < (now() - interval '24 hours')`,
    rows: 3,
  },
  {
    title: "force reset alert timestamp",
    sql: `UPDATE job_heartbeats SET last_alert_at = NULL WHERE job_name = 'your-stale-job-name'`,
    rows: 1,
  },
  {
    title: "check job execution",
    sql:
      `SELECT job_name, last_run_at, status, metadata, EXTRACT(hours FROM (now() - last_run_at)) as hours_since_heartbeat
FROM job_heartbeats ORDER BY last_run_at DESC`,
    rows: 4,
  },
  {
    title: "verify function grants",
    sql: `SELECT grantee, privilege_type FROM information_schema.routine_privileges
WHERE routine_schema = 'public' AND routine_name = 'update_job_heartbeat' AND grantee = 'service_role'`,
    rows: 1,
  },
  {
    title: "check cron job status",
    sql: `SELECT jobid, schedule, command, nodename, nodeport, database, username, active, jobname
FROM cron.job WHERE jobname LIKE '%healthcheck%'`,
    rows: 1,
  },
  {
    title: "check cron execution history",
    sql: `SELECT runid, jobid, database, username, command, status, return_message, start_time, end_time
FROM cron.job_run_details WHERE jobid IN (SELECT jobid FROM cron.job WHERE jobname LIKE '%healthcheck%')
ORDER BY start_time DESC LIMIT 10`,
    rows: 1,
  },
  {
    title: "force alert for a specific job",
    sql: `UPDATE job_heartbeats SET last_alert_at = NULL WHERE job_name = 'critical-job-name'; ${CALL}`,
    rows: 1,
  },
  { title: "the healthcheck summary", sql: "SELECT * FROM healthcheck_summary", rows: 1 },
  {
    title: "retention",
    sql: `DELETE FROM job_heartbeats
WHERE created_at < (now() - interval '90 days') AND last_run_at < (now() - interval '30 days')`,
    rows: 1,
  },
  {
    title: "disable all alerts temporarily",
    sql: "UPDATE job_heartbeats SET last_alert_at = now()",
    rows: 3,
  },
  {
    title: "bulk job recovery",
    sql: `UPDATE job_heartbeats SET last_run_at = now(), status = 'recovered', last_alert_at = now()
WHERE last_run_at < (now() - interval '24 hours')`,
    rows: 2,
  },
  {
    title: "monitor index usage",
    written: {
      sql:
        `SELECT schemaname, tablename, indexname FROM pg_stat_user_indexes WHERE tablename = 'job_heartbeats'`,
      refused: /column "tablename" does not exist/,
    },
    sql: `SELECT schemaname, relname, indexrelname, idx_scan, idx_tup_read, idx_tup_fetch
FROM pg_stat_user_indexes WHERE relname = 'job_heartbeats'`,
    rows: 4,
  },
  {
    title: "check slow queries",
    written: {
      sql: `SELECT query, calls, total_time, mean_time, rows FROM extensions.pg_stat_statements`,
      refused: /column "total_time" does not exist/,
    },
    sql: `SELECT query, calls, total_exec_time, mean_exec_time, rows
FROM extensions.pg_stat_statements WHERE query LIKE '%job_heartbeats%' ORDER BY total_exec_time DESC`,
  },
];

async function prepare(hub: TestDatabase): Promise<void> {
  await hub.admin`create extension pg_stat_statements with schema extensions`;
  await hub.sql`select vault.create_secret('sb_secret_test', 'monitor_secret_key'),
                       vault.create_secret('https://hooks.slack.com/services/x', 'SLACK_WEBHOOK_URL')`;
  await hub.sql`select update_job_heartbeat('queue_worker', 'healthy', '{"jobs": 12}')`;
  await hub.sql`
    insert into job_heartbeats (job_name, last_run_at, last_alert_at, created_at) values
      ('critical-job-name', now() - interval '2 days', now() - interval '2 hours', now()),
      ('your-stale-job-name', now() - interval '26 hours', null, now()),
      ('long-gone', now() - interval '40 days', null, now() - interval '100 days')`;
  await addRun(hub, await addJob(hub, { name: "cron-healthcheck-job", schedule: "0 */6 * * *" }));
}

Deno.test("every query of the seed's runbook runs and finds what is there", async (t) => {
  await using hub = await testDatabase("hub");
  await prepare(hub);
  for (const { title, sql, written, rows } of QUERIES) {
    await t.step(title, async () => {
      if (written !== undefined) {
        const refusal = await hub.sql.unsafe(written.sql).simple().then(
          () => "accepted",
          (error: Error) => error.message,
        );
        assert.match(refusal, written.refused);
      }
      const answer = await hub.sql.unsafe(sql).simple();
      const counts = (Array.isArray(answer[0]) ? answer as unknown as { count: number }[] : [answer]).map((
        { count },
      ) => count);
      for (const count of counts) {
        if (rows === undefined) assert.ok(count > 0);
        else assert.equal(count, rows);
      }
    });
  }
});
