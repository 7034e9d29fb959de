/** 500 jobs fail at once: from pg_cron's own tables through a check to every vendor, few messages, and no job unnamed. */
import assert from "node:assert/strict";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import { systemClock } from "../../supabase/functions/_shared/clock.ts";
import type { ChannelName } from "../../supabase/functions/_shared/domain/delivery.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { runCheck } from "../../supabase/functions/check-job-health/run.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { onStage, type Stage } from "../support/outbox.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { secondsIntoHour } from "../support/cron_rows.ts";
import { addTarget } from "../support/targets.ts";

const NAMES = Object.keys(channels) as ChannelName[];
const JOBS = 500;

/** Jobs whose last run failed, numbered on from `first`; answers their names. */
async function addFailingJobs(
  db: TestDatabase,
  first: number,
  count: number,
  name: string,
): Promise<string[]> {
  const rows = await db.admin<{ jobname: string }[]>`
    with job as (
      insert into cron.job (jobname, schedule, command, username, active)
      select ${name} || lpad(n::text, 3, '0'), '0 * * * *', 'select 1', 'postgres', true
      from generate_series(${first}::int, ${first + count - 1}::int) as n returning jobid, jobname
    ), run as (
      insert into cron.job_run_details (jobid, database, username, command, status, return_message, start_time, end_time)
      select jobid, current_database(), 'postgres', 'select 1', 'failed', 'ERROR: relation "leads" does not exist',
             now() - make_interval(secs => ${secondsIntoHour()}), now() - make_interval(secs => ${
    secondsIntoHour() - 1
  })
      from job
    )
    select jobname from job order by jobname`;
  return rows.map(({ jobname }) => jobname);
}

/** So many failing jobs, evenly over so many projects; answers their names. */
async function storm(stage: Stage, projects: number, name: string, test: (names: string[]) => Promise<void>) {
  await watchOnlyOthers(stage);
  await using databases = new AsyncDisposableStack();
  const urls: Record<string, string> = {};
  const names: string[] = [];
  for (let project = 0; project < projects; project++) {
    const db = databases.use(await testDatabase("project"));
    const from = Math.round(JOBS * project / projects);
    const to = Math.round(JOBS * (project + 1) / projects);
    names.push(...await addFailingJobs(db, from, to - from, name));
    urls[`project${project}`] = db.url;
  }
  const deps = {
    sql: stage.hub,
    config: configFor({ url: stage.databaseUrl }, urls),
    clock: systemClock,
    log: recordingLog(),
  };
  const report = await runCheck(deps, triggerInput.parse({}));
  assert.equal(report.incidents_opened, JOBS);
  await stage.run();
  await test(names);
}

function messagesOf({ sink }: Stage, channel: ChannelName): string[] {
  return sink.deliveries().filter((one) => one.channel === channel && one.accepted).map(({ text }) =>
    text ?? ""
  );
}

for (const projects of [1, 2, 3, 4, 7]) {
  Deno.test(`500 jobs of ${projects} projects fail in one check: at most three messages a channel, every job named`, () =>
    onStage(async (stage) => {
      for (const name of NAMES) await addTarget(stage, name);
      await storm(stage, projects, "sync_inv_", async (names) => {
        for (const channel of NAMES) {
          const messages = messagesOf(stage, channel);
          assert.ok(messages.length > 0 && messages.length <= 3, `${channel}: ${messages.length} messages`);
          const text = messages.join("\n").replaceAll("\\", "");
          // an SMS says how many, and where to see them
          if (channel === "twilio") assert.match(text, /\d+ jobs/);
          else assert.deepEqual(names.filter((name) => !text.includes(name)), [], channel);
        }
        await assertAllTold(stage, names);
      });
    }));
}

Deno.test("500 jobs with long names: what does not fit is counted, and the message says where to see them all", () =>
  onStage(async (stage) => {
    for (const name of NAMES) await addTarget(stage, name);
    await storm(stage, 1, "refresh_materialized_view_of_customer_invoices_by_region_", async (names) => {
      for (const channel of NAMES) {
        const messages = messagesOf(stage, channel);
        assert.ok(messages.length <= 3, `${channel}: ${messages.length} messages`);
        for (const text of messages) {
          const [, told] = /FAILED: (\d+) jobs/.exec(text) ?? [];
          const named = names.filter((name) => text.replaceAll("\\", "").includes(name)).length;
          const [, left] = /(\d+) more incidents, all of them: deno task monitor incidents/.exec(text) ?? [];
          if (channel === "twilio") {
            assert.match(text, /500 jobs .* All of them: deno task monitor incidents/i);
          } else assert.equal(named + Number(left ?? 0), Number(told), `${channel}:\n${text}`);
        }
      }
      await assertAllTold(stage, names);
    });
  }));

/** Whoever looks finds each of them, and that it was told. */
async function assertAllTold({ sql }: Stage, names: readonly string[]): Promise<void> {
  const rows = await sql<{ subject: string; told_through: string[] | null }[]>`
    select subject, told_through from incident_overview where resolved_at is null`;
  const told = new Map(rows.map(({ subject, told_through }) => [subject, told_through?.toSorted()]));
  for (const name of names) assert.deepEqual(told.get(name), NAMES.toSorted(), name);
}
