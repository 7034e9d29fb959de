/** What the hub shows of itself, read from a hub that has checked real projects. */
import assert from "node:assert/strict";
import { systemClock } from "../../supabase/functions/_shared/clock.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { readBadge, readStatus } from "../../supabase/functions/_shared/hub/status.ts";
import { badgeWord } from "../../supabase/functions/_shared/rules/badge.ts";
import { prometheusText, reportStatus } from "../../supabase/functions/_shared/rules/status.ts";
import { runCheck } from "../../supabase/functions/check-job-health/run.ts";
import { addJob, addRun, secondsIntoHour } from "../support/cron_rows.ts";
import { samplesOf } from "../support/exposition.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

async function checked(hub: TestDatabase, smoothed: TestDatabase): Promise<void> {
  await watchOnlyOthers(hub);
  const startedSecondsAgo = secondsIntoHour();
  await addRun(smoothed, await addJob(smoothed, { name: "good" }), { startedSecondsAgo });
  await addRun(smoothed, await addJob(smoothed, { name: "bad" }), { startedSecondsAgo, status: "failed" });
  const config = configFor(hub, { smoothed: smoothed.url });
  await runCheck({ sql: hub.sql, config, clock: systemClock, log: recordingLog() }, triggerInput.parse({}));
}

Deno.test("an empty hub has a status, and it is not healthy", async () => {
  await using hub = await testDatabase("hub");
  const view = await readStatus(hub.sql);
  assert.deepEqual([view.jobs, view.projects, view.incidents], [[], [], []]);
  assert.deepEqual(reportStatus(view).problems, [
    "check-job-health has not been complete for 45 minutes",
    "send-alert has not been complete for 10 minutes",
  ]);
  assert.ok(samplesOf(prometheusText(view)).length > 0);
});

Deno.test("the status shows what the last check concluded", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await checked(hub, smoothed);
  const report = reportStatus(await readStatus(hub.sql));
  assert.deepEqual(
    report.jobs.map(({ project, name, status, verdict }) => [project, name, status, verdict]),
    [
      ["smoothed", "bad", "failed", "failed"],
      ["smoothed", "good", "healthy", null],
    ],
  );
  assert.ok((report.jobs[1]?.last_run_age ?? -1) >= 0);
  assert.deepEqual(report.incidents, [
    { project: "smoothed", severity: "important", count: 1, acknowledged: 0 },
  ]);
  assert.equal(report.outbox.unroutable, 1);
});

Deno.test("a badge of a project or a job has one id that nobody can guess, until its row is deleted", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await checked(hub, smoothed);
  const badge = async (project: string, job: string | null) => {
    const [row] = await hub.sql<{ id: string }[]>`select monitoring.badge(${project}, ${job}) as id`;
    return row?.id ?? "";
  };
  const [whole, good] = [await badge("smoothed", null), await badge("smoothed", "good")];
  assert.match(whole, /^[0-9a-f]{32}$/);
  assert.notEqual(whole, good);
  assert.equal(await badge("smoothed", null), whole);
  const says = async (id: string) => {
    const facts = await readBadge(hub.sql, id);
    return facts === null ? null : [facts.label, badgeWord(facts, Date.now())];
  };
  assert.deepEqual(await says(whole), ["smoothed", "failed"]);
  assert.deepEqual(await says(good), ["good", "healthy"]);
  await hub.sql`delete from badges where id = ${whole}`;
  assert.equal(await says(whole), null);
  await assert.rejects(badge("nowhere", null), /no project is called "nowhere"/);
  await assert.rejects(badge("smoothed", "nothing"), /project "smoothed" has no job "nothing"/);
});
