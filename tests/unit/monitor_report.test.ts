import assert from "node:assert/strict";
import type { JobError, ReportAnswer } from "../../scripts/monitoring_api.ts";
import { MINUTE, NOON } from "../support/facts.ts";
import { runWith } from "../support/monitor_world.ts";

function error(over: Partial<JobError> = {}): JobError {
  return {
    fingerprint: "ERROR: duplicate key value violates unique constraint <value>",
    project_name: "smoothed",
    job_name: "sync_leads",
    message: 'ERROR:  duplicate key value violates unique constraint "leads_pkey"',
    count: 4,
    first_seen: new Date(NOON - 3 * 1440 * MINUTE).toISOString(),
    last_seen: new Date(NOON - 5 * MINUTE).toISOString(),
    new_since_yesterday: false,
    by_day: [0, 1, 0, 3],
    ...over,
  };
}

function answer(over: Partial<ReportAnswer> = {}): ReportAnswer {
  return {
    ...{
      ok: true,
      request_id: "r",
      report: "daily",
      from: "2026-11-20",
      to: "2026-11-20",
      dry_run: true,
      queued: 0,
    },
    recipients: [{
      ...{ subscription_id: "s", alert_config_id: "a", name: "team", channel: "slack" },
      ...{ result: "would be queued", state: null } as const,
    }],
    text: "Daily report of 2026-11-20\n\nAll quiet.",
    mail: { subject: "🟢 Daily report", html: "<!doctype html>…", text: "Daily report" },
    ...over,
  } as ReportAnswer;
}

const lines = (text: string) => text.trimEnd().split("\n").map((line) => line.trim().split(/\s{2,}/));

Deno.test("errors: fingerprint and what it last was, job, times, a line by day, first and last seen; new ones marked", async () => {
  const asked: unknown[] = [];
  const fresh = error({
    fingerprint: "lost all",
    message: "lost all",
    job_name: "purge",
    new_since_yesterday: true,
    count: 1,
  });
  const { code, stdout } = await runWith(["errors", "--project", "smoothed", "--days", "4"], {
    listErrors: (filter) => (asked.push(filter), Promise.resolve([fresh, error()])),
  });
  assert.equal(code, 0);
  assert.deepEqual(asked, [{ project: "smoothed", job: undefined, days: 4 }]);
  const [head, first, second, said, , sum] = lines(stdout);
  assert.deepEqual(head, ["error", "job", "project", "times", "by day", "first seen", "last seen"]);
  assert.deepEqual(first?.slice(0, 6), ["new", "lost all", "purge", "smoothed", "1", "·▁·█"]);
  assert.deepEqual(second?.slice(1, 5), ["sync_leads", "smoothed", "4", "·▁·█"]);
  assert.deepEqual(said, ['ERROR: duplicate key value violates unique constraint "leads_pkey"']);
  assert.deepEqual(sum, ["2 errors of jobs in 4 days; 1 is new since yesterday."]);
});

Deno.test("errors --fail ends with 1 where one is new, and says so where there is none at all", async () => {
  const listErrors = (...errors: JobError[]) => ({ listErrors: () => Promise.resolve(errors) });
  assert.equal((await runWith(["errors", "--fail"], listErrors(error()))).code, 0);
  assert.equal(
    (await runWith(["errors", "--fail"], listErrors(error({ new_since_yesterday: true })))).code,
    1,
  );
  assert.equal((await runWith(["errors"], listErrors())).stdout, "No job failed in the last 7 days.\n");
  assert.equal((await runWith(["errors", "--days", "91"], listErrors())).code, 2);
});

Deno.test("report prints the report, sends nothing, and refuses what is no report", async () => {
  const previewReport = () => Promise.resolve(answer());
  assert.equal(
    (await runWith(["report", "daily"], { previewReport })).stdout,
    "Daily report of 2026-11-20\n\nAll quiet.\n",
  );
  const wrong = await runWith(["report", "hourly"], { previewReport });
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /A report is daily or weekly, not "hourly"/);
  assert.equal((await runWith(["report", "daily", "--send", "--preview"], { previewReport })).code, 2);
});

Deno.test("report --preview writes the mail to a file and says who would get it", async () => {
  const file = await Deno.makeTempFile({ suffix: ".html" });
  const previewReport = () => Promise.resolve(answer());
  const { stdout } = await runWith(["report", "daily", "--preview", "--out", file], { previewReport });
  assert.equal(await Deno.readTextFile(file), "<!doctype html>…");
  assert.equal(stdout, `Wrote ${file}: 🟢 Daily report\n  team (slack): would be queued\n`);
  await Deno.remove(file);
  const refused = await runWith(["report", "daily", "--out", "/nowhere/at/all.html"], { previewReport });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /Cannot write "\/nowhere\/at\/all.html": NotFound/);
});

Deno.test("report --send says who will have it and who had it", async () => {
  const [recipient] = answer().recipients;
  assert.ok(recipient);
  const recipients: ReportAnswer["recipients"] = [
    { ...recipient, result: "queued" },
    { ...recipient, name: null, channel: "resend", result: "had", state: "sent" },
  ];
  const sendReport = () => Promise.resolve(answer({ dry_run: false, queued: 1, recipients }));
  const { stdout } = await runWith(["report", "weekly", "--send"], { sendReport });
  assert.equal(
    stdout,
    "1 subscriber will have the report of 2026-11-20 within a minute; 1 had it.\n" +
      "  team (slack): queued\n  resend (resend): had it (sent)\n",
  );
});
