/** The alert policy on real Postgres, from what checks record to what arrives at strict fakes of the vendors. */
import assert from "node:assert/strict";
import type { OwedDelivery } from "../../supabase/functions/_shared/domain/observation.ts";
import type { Severity } from "../../supabase/functions/_shared/domain/job.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { readKnowledge } from "../../supabase/functions/_shared/hub/knowledge.ts";
import { applyPolicy, readPolicyView } from "../../supabase/functions/_shared/hub/policy.ts";
import { recordObservations } from "../../supabase/functions/_shared/hub/record.ts";
import { decidePolicy } from "../../supabase/functions/_shared/rules/alert_policy.ts";
import { owedDeliveries } from "../../supabase/functions/_shared/rules/owed_deliveries.ts";
import type { SendAlertDeps } from "../../supabase/functions/send-alert/deps.ts";
import { addDiscord, addTelegram, makeDue, onStage, type Stage } from "../support/outbox.ts";

interface Condition {
  severity?: Severity;
  code?: string | ((name: string) => string);
  project?: string;
}

/** Records, as one check does, that these jobs have failed. */
async function fail(stage: Stage, names: string[], condition: Condition = {}): Promise<void> {
  const { severity = "important", code = "failed", project = "smoothed" } = condition;
  const known = await readKnowledge(stage.hub, project);
  const ids = new Map(names.map((name) => [name, idOf(known, name)]));
  await recordObservations(stage.hub, {
    projectName: project,
    projectRef: null,
    expectedVersion: known.version,
    jobs: names.map((name) => ({
      id: ids.get(name) ?? "",
      jobType: "pg_cron",
      jobName: name,
      jobUser: "postgres",
      jobId: null,
      schedule: "0 * * * *",
      command: null,
      active: true,
      expectedIntervalMinutes: 60,
    })),
    incidents: names.map((name) => ({
      action: "open",
      subjectKind: "job",
      subjectId: ids.get(name) ?? "",
      jobInventoryId: ids.get(name) ?? "",
      code: typeof code === "string" ? code : code(name),
      severity,
      summary: "the last run failed: ERROR: division by zero",
      detail: {},
      deliveries: owed(known, project, severity, "opened"),
    })),
  });
}

/** Records that these jobs, or all, are well again. */
async function recover(stage: Stage, names?: string[], project = "smoothed"): Promise<void> {
  const known = await readKnowledge(stage.hub, project);
  const ids = new Set(names?.map((name) => idOf(known, name)));
  const over = known.incidents.filter(({ subjectKind, subjectId }) =>
    subjectKind === "job" && (names === undefined || ids.has(subjectId))
  );
  await recordObservations(stage.hub, {
    projectName: project,
    projectRef: null,
    expectedVersion: known.version,
    incidents: over.map(({ id, severity }) => ({
      action: "resolve",
      id,
      resolution: "recovered",
      detail: {},
      deliveries: owed(known, project, severity, "resolved"),
    })),
  });
}

type Known = Awaited<ReturnType<typeof readKnowledge>>;

function idOf(known: Known, name: string): string {
  return known.jobs.find(({ jobName }) => jobName === name)?.id ?? crypto.randomUUID();
}

function owed(
  known: Known,
  projectName: string,
  severity: Severity,
  event: "opened" | "resolved",
): OwedDelivery[] {
  return owedDeliveries({ severity, projectName, alertChannel: null, event }, known.alertConfigs);
}

/** Lets time pass: everything that is stored gets older. */
async function pass({ sql }: Stage, interval: string): Promise<void> {
  await sql.unsafe(`
    update incidents set opened_at = opened_at - interval '${interval}', resolved_at = resolved_at - interval '${interval}';
    update alert_deliveries set created_at = created_at - interval '${interval}', sent_at = sent_at - interval '${interval}',
      admitted_at = admitted_at - interval '${interval}', next_attempt_at = next_attempt_at - interval '${interval}';
    update channel_state set since = since - interval '${interval}', last_success_at = last_success_at - interval '${interval}',
      last_failure_at = last_failure_at - interval '${interval}';
    update silences set starts_at = starts_at - interval '${interval}', ends_at = ends_at - interval '${interval}'`);
}

/** What has arrived, a channel and a title each. */
function arrived({ sink }: Stage): string[] {
  return sink.deliveries().filter(({ accepted }) => accepted)
    .map(({ channel, text }) => `${channel}: ${(text ?? "").trim().split("\n")[0] ?? ""}`);
}

async function states({ sql }: Stage): Promise<string[]> {
  const rows = await sql<{ line: string }[]>`
    select event || ' ' || state || coalesce(': ' || last_error, '') as line
    from alert_deliveries order by created_at, monitoring.delivery_rank(event), id`;
  return rows.map(({ line }) => line);
}

async function incidentId({ sql }: Stage, code = "failed"): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    select id from incidents where code = ${code} order by opened_at desc limit 1`;
  return row?.id ?? "";
}

// --- one check, one message ---

Deno.test("one check owes one delivery a row, project and condition, and one message arrives", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["a", "b", "c"], { code: (name) => name === "c" ? "missed" : "failed" });
    const [{ count = 0 } = {}] = await stage.sql`select count(*)::int as count from alert_deliveries`;
    assert.equal(count, 2);
    assert.equal((await stage.run()).sent, 2);
    assert.deepEqual(arrived(stage).map((line) => line.replace(/^.*?: \S+ /, "")).sort(), [
      "FAILED: 2 jobs in smoothed · important",
      "MISSED: c in smoothed · important",
    ]);
  }));

Deno.test("a storm: 500 jobs of 10 projects fail in one check, three messages a channel, every job named in them", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await addTelegram(stage);
    const names: string[] = [];
    for (let project = 0; project < 10; project++) {
      const own = Array.from(
        { length: 50 },
        (_, job) => `sync_part_${project}${String(job).padStart(2, "0")}`,
      );
      names.push(...own);
      await fail(stage, own, { project: `project-${project}` });
    }
    await stage.run();
    for (const channel of ["discord", "telegram"]) {
      const messages = stage.sink.deliveries().filter((one) => one.channel === channel && one.accepted);
      assert.ok(messages.length <= 3, `${channel}: ${messages.length} messages`);
      const text = messages.map((one) => one.text ?? "").join("\n").replaceAll("\\", "");
      assert.deepEqual(names.filter((name) => !text.includes(name)), [], channel);
    }
    const [{ untold = -1 } = {}] = await stage.sql<{ untold: number }[]>`
      select count(*)::int as untold from incidents i where not exists (
        select from delivery_incidents t join alert_deliveries d on d.id = t.delivery_id
        where t.incident_id = i.id and d.state = 'sent')`;
    assert.equal(untold, 0);
  }));

Deno.test("the breaker: 25 different incidents at once are ten messages and one digest", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    const names = Array.from({ length: 25 }, (_, index) => `job_${index}`);
    await fail(stage, names, { code: (name) => `odd_${name}` });
    await stage.run();
    assert.equal(arrived(stage).length, 11);
    assert.equal(arrived(stage).filter((line) => /15 jobs in smoothed/.test(line)).length, 1);
    await fail(stage, ["more"], { code: "odd" });
    await stage.run();
    assert.equal(arrived(stage).length, 11, "waits for the next digest");
    const [held] = await stage.sql`select held_reason from alert_deliveries where held_reason is not null`;
    assert.match(held?.held_reason, /^More than 10 messages/);
    await pass(stage, "6 minutes");
    await stage.run();
    assert.equal(arrived(stage).length, 12);
  }));

// --- life of an incident ---

Deno.test("an incident is told when it opens, every repeat interval while it lasts, and when it ends", () =>
  onStage(async (stage) => {
    await addDiscord(stage, { repeat_minutes: 60 });
    await fail(stage, ["sync"]);
    for (let minutes = 0; minutes < 150; minutes += 10) {
      await stage.run();
      await pass(stage, "10 minutes");
    }
    await recover(stage);
    await stage.run();
    assert.deepEqual(arrived(stage).map((line) => line.replace(/^discord: \S+ /, "").split(":")[0]), [
      "FAILED",
      "STILL FAILED",
      "STILL FAILED",
      "RECOVERED",
    ]);
  }));

Deno.test("ticks at once owe a reminder once", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["sync"]);
    await stage.run();
    await pass(stage, "7 hours");
    await Promise.all(Array.from({ length: 8 }, () => stage.run({}, { sql: stage.sql })));
    const [{ count = 0 } = {}] = await stage.sql`
      select count(*)::int as count from alert_deliveries where event = 'reminder'`;
    assert.equal(count, 1);
    assert.equal(arrived(stage).length, 2);
  }));

Deno.test("runs at once tell a storm once", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    const names = Array.from({ length: 400 }, (_, index) => `job_${index}`);
    await fail(stage, names);
    await Promise.all(Array.from({ length: 6 }, () => stage.run({}, { sql: stage.sql })));
    await stage.run();
    assert.equal(arrived(stage).length, 3);
    const [{ twice = -1 } = {}] = await stage.sql<{ twice: number }[]>`
      select count(*)::int as twice from (
        select incident_id from delivery_incidents t join alert_deliveries d on d.id = t.delivery_id and d.state = 'sent'
        group by incident_id having count(*) > 1) as repeated`;
    assert.equal(twice, 0);
  }));

Deno.test("what was decided from an older look is refused, and changes nothing", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["sync"]);
    await stage.run();
    await pass(stage, "7 hours");
    const now = new Date();
    const context = { now: now.getTime(), hubProjectName: "thordata", newId: () => crypto.randomUUID() };
    const { view } = await readPolicyView(stage.hub, now);
    const outcome = await applyPolicy(stage.hub, decidePolicy(view, context));
    assert.equal(outcome.created, 1);
    await assert.rejects(
      applyPolicy(stage.hub, decidePolicy(view, context)),
      (error) => error instanceof AppError && error.code === "conflict",
    );
    assert.equal((await states(stage)).length, 2);
  }));

Deno.test("a reminder is not written for what somebody took on, or what ended, since the look", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    for (const change of ["acknowledge_incident", "resolve_incident"]) {
      await fail(stage, [change]);
      await stage.run();
      await pass(stage, "7 hours");
      const now = new Date();
      const { view } = await readPolicyView(stage.hub, now);
      await stage.sql.unsafe(`select monitoring.${change}('${await incidentId(stage)}', 'dana')`);
      const newId = () => crypto.randomUUID();
      const decision = decidePolicy(view, { now: now.getTime(), hubProjectName: "thordata", newId });
      assert.equal((await applyPolicy(stage.hub, decision)).created, 0, change);
      await stage.run();
      await recover(stage);
      await stage.run();
    }
  }));

Deno.test("a policy that died before delivering loses nothing", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["sync"]);
    await stage.run({}, { deadline: new Date(0) });
    assert.equal(arrived(stage).length, 0);
    assert.equal((await stage.run()).sent, 1);
  }));

Deno.test("an end that overtakes an unsent beginning cancels both, in the rows and in the log", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["sync"]);
    stage.sink.script("discord", [{ status: 503, body: "down" }]);
    await stage.run();
    await recover(stage);
    await makeDue(stage);
    assert.equal((await stage.run()).sent, 0);
    const reason = "It ended before it was told: neither its beginning nor its end is sent";
    assert.deepEqual(await states(stage), [`opened cancelled: ${reason}`, `resolved cancelled: ${reason}`]);
    assert.equal(stage.logged.filter((line) => line.includes(reason)).length, 2);
  }));

Deno.test("a beginning that may have arrived is told again, and its end after it", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["sync"]);
    stage.sink.script("discord", [{ destroy: true }]);
    await stage.run();
    await recover(stage);
    await makeDue(stage);
    await stage.run();
    assert.deepEqual(arrived(stage).map((line) => line.split(" ")[2]), ["FAILED:", "RECOVERED:"]);
  }));

Deno.test("of many in one message, only those that still hold are told", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["a", "b", "c"]);
    await recover(stage, ["b"]);
    await stage.run();
    assert.equal(arrived(stage).length, 1);
    assert.match(arrived(stage)[0] ?? "", /FAILED: 2 jobs/);
    assert.deepEqual((await states(stage)).map((line) => line.split(":")[0]).sort(), [
      "opened cancelled",
      "opened sent",
      "resolved cancelled",
    ]);
  }));

Deno.test("flapping: the fourth change within the hour is one message, and one when it is calm", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    for (let round = 0; round < 4; round++) {
      await fail(stage, ["sync"]);
      await stage.run();
      await pass(stage, "5 minutes");
      await recover(stage);
      await stage.run();
      await pass(stage, "5 minutes");
    }
    const told = () => arrived(stage).map((line) => line.replace(/^discord: \S+ /, "").split(":")[0]);
    assert.deepEqual(told(), ["FAILED", "RECOVERED", "FAILED", "FLAPPING"]);
    await pass(stage, "50 minutes");
    await stage.run();
    assert.equal(told().length, 4, "the last change is 55 minutes old");
    await pass(stage, "10 minutes");
    await stage.run();
    assert.deepEqual(told().slice(4), ["RECOVERED"]);
    assert.match(arrived(stage).at(-1) ?? "", /RECOVERED: 2 incidents in smoothed/);
    const [{ open = -1 } = {}] = await stage.sql`
      select count(*)::int as open from incidents where resolved_at is null`;
    assert.equal(open, 0);
    const left = await stage.sql`select 1 from alert_deliveries where state = 'due'`;
    assert.equal(left.length, 0);
  }));

Deno.test("no check ends a flapping incident", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["sync"]);
    await stage.sql`update incidents set code = 'flapping'`;
    assert.deepEqual((await readKnowledge(stage.hub, "smoothed")).incidents, []);
  }));

// --- quiet hours ---

Deno.test("quiet hours across the change of the clock: critical passes, the rest waits until 07:00 on the wall", () =>
  onStage(async (stage) => {
    const night = { quiet_from: "22:00", quiet_until: "07:00", quiet_time_zone: "Europe/Berlin" };
    await addDiscord(stage, night);
    await fail(stage, ["grave"], { severity: "critical" });
    await fail(stage, ["other"]);
    await fail(stage, ["minor"], { severity: "low" });
    await fail(stage, ["passing"], { severity: "low" });
    const at = (time: string) => stage.run({}, { clock: () => new Date(time), deadline: new Date(8.64e15) });
    await at("2026-10-25T00:30:00Z");
    assert.equal(arrived(stage).length, 1);
    assert.match(arrived(stage)[0] ?? "", /FAILED: grave/);
    const [held] = await stage
      .sql`select held_reason from alert_deliveries where held_reason is not null limit 1`;
    assert.equal(held?.held_reason, "Quiet hours until 2026-10-25 07:00 Europe/Berlin");
    await recover(stage, ["passing"]);
    // 07:00 is an hour later in UTC than the night before
    await at("2026-10-25T05:59:00Z");
    assert.equal(arrived(stage).length, 1);
    await at("2026-10-25T06:00:00Z");
    assert.equal(arrived(stage).length, 2);
    assert.match(arrived(stage)[1] ?? "", /FAILED: 2 jobs in smoothed/);
    assert.ok(
      (await states(stage)).includes("opened cancelled: It ended during quiet hours and was of low severity"),
    );
  }));

// --- silences ---

Deno.test("a silence: recorded, nothing told, and told when the silence is ended and it still holds", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    const [silence] = await stage.sql`
      select monitoring.silence('smoothed', 'sync_*', now() + interval '1 hour', 'dana', 'migration') as id`;
    await fail(stage, ["sync_a", "sync_b", "purge"]);
    await stage.run();
    assert.equal(arrived(stage).length, 1);
    assert.match(arrived(stage)[0] ?? "", /FAILED: purge/);
    const [overview] = await stage.sql`
      select waits_for from incident_overview where subject = 'sync_a'`;
    assert.match(overview?.waits_for, /^Silenced by dana until .*: migration$/);
    await recover(stage, ["sync_b"]);
    await stage.sql`select monitoring.end_silence(${silence?.id}, 'lea')`;
    await stage.run();
    assert.deepEqual(arrived(stage).length, 2);
    assert.match(arrived(stage)[1] ?? "", /FAILED: sync_a/);
  }));

Deno.test("a silence ends by itself, and one on a schedule comes back", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await stage.sql`
      select monitoring.silence_on_schedule('smoothed', null, '0 2 * * *', 60, 'dana', 'nightly import', 'Europe/Berlin')`;
    await stage.sql`update silences set starts_at = '2026-01-01'`;
    await fail(stage, ["sync"], { severity: "critical" });
    const at = (time: string) => stage.run({}, { clock: () => new Date(time), deadline: new Date(8.64e15) });
    await at("2026-07-01T00:30:00Z");
    assert.equal(arrived(stage).length, 0);
    await at("2026-07-01T01:00:00Z");
    assert.equal(arrived(stage).length, 1);
  }));

Deno.test("silence_incident() silences the very job, whatever its name means in a pattern", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["a*b?c\\d"]);
    await stage.sql`
      select monitoring.silence_incident(${await incidentId(
      stage,
    )}, now() + interval '1 hour', 'dana', 'known')`;
    await fail(stage, ["aXbYc\\d"]);
    await stage.run();
    assert.equal(arrived(stage).length, 1);
    assert.match(arrived(stage)[0] ?? "", /aXbYc/);
  }));

// --- people ---

Deno.test("an acknowledgement stops reminders and escalations, and not the recovery", () =>
  onStage(async (stage) => {
    await addDiscord(stage, { repeat_minutes: 30 });
    await addTelegram(stage, { escalation_minutes: 15, only_escalations: true });
    await fail(stage, ["sync"], { severity: "critical" });
    await stage.run();
    const id = await incidentId(stage);
    const [first] = await stage.sql`select monitoring.acknowledge_incident(${id}, 'dana', 'on it') as done`;
    const [second] = await stage.sql`select monitoring.acknowledge_incident(${id}, 'lea') as done`;
    assert.deepEqual([first?.done, second?.done], [true, false]);
    await pass(stage, "2 hours");
    await stage.run();
    assert.equal(arrived(stage).length, 1);
    await recover(stage);
    await stage.run();
    assert.match(arrived(stage)[1] ?? "", /^discord: \S+ RECOVERED/);
  }));

Deno.test("what nobody acknowledges escalates, and whoever it came to hears the end", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await addTelegram(stage, { escalation_minutes: 15, only_escalations: true });
    await fail(stage, ["sync"], { severity: "critical" });
    await stage.run();
    await pass(stage, "14 minutes");
    await stage.run();
    assert.equal(arrived(stage).length, 1);
    await pass(stage, "2 minutes");
    await stage.run();
    assert.match(arrived(stage)[1] ?? "", /^telegram: .*FAILED: sync/);
    assert.match(stage.sink.deliveries()[1]?.text ?? "", /Nobody has acknowledged it for 16 min/);
    await recover(stage);
    await stage.run();
    assert.deepEqual(arrived(stage).slice(2).map((line) => line.split(":")[0]).sort(), [
      "discord",
      "telegram",
    ]);
  }));

Deno.test("a false alarm is kept and counted, an incident closed by hand is told to whom it was told", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await fail(stage, ["sync"]);
    await stage.run();
    const id = await incidentId(stage);
    await stage.sql`select monitoring.mark_false_alarm(${id}, 'dana')`;
    const [closed] = await stage.sql`select monitoring.resolve_incident(${id}, 'dana') as done`;
    assert.equal(closed?.done, true);
    await stage.run();
    assert.match(arrived(stage)[1] ?? "", /CLOSED: sync in smoothed/);
    await fail(stage, ["sync"]);
    const [rate] = await stage.sql`select incidents::int, false_alarms::int, rate::float from false_alarms`;
    assert.deepEqual({ ...rate }, { incidents: 2, false_alarms: 1, rate: 0.5 });
  }));

Deno.test("acting on what is not there says so", () =>
  onStage(async ({ sql }) => {
    const id = crypto.randomUUID();
    const calls = [
      [`acknowledge_incident('${id}', 'x')`, /cannot acknowledge incident ".*": there is no such incident/],
      [`mark_false_alarm('${id}', 'x')`, /cannot mark as a false alarm incident/],
      [`resolve_incident(null, 'x')`, /cannot resolve incident "null"/],
      [`silence_incident('${id}', now(), 'x', 'y')`, /cannot silence incident/],
      [`end_silence('${id}', 'x')`, /cannot end silence/],
      [`silence('p', '*', null, 'x', 'y')`, /a silence without a schedule ends/],
      [`silence('p', '*', now(), ' ', 'y')`, /created_by says who/],
      [`silence_on_schedule('p', '*', '* * *', 5, 'x', 'y')`, /schedule has five fields/],
      [
        `silence_on_schedule('p', '*', '* * * * *', 5, 'x', 'y', 'Mars/Olympus')`,
        /time_zone is a time zone such as/,
      ],
    ] as const;
    for (const [call, expected] of calls) {
      await assert.rejects(sql.unsafe(`select monitoring.${call}`), expected, call);
    }
  }));

// --- dead channels ---

Deno.test("a channel that refuses for good: its alerts and one word about it arrive elsewhere in the same run", () =>
  onStage(async (stage) => {
    const bad = await addDiscord(stage, { name: "team", webhook_url: `${stage.sink.discordWebhookUrl}x` });
    await addTelegram(stage, { criticality: "low" });
    await fail(stage, ["sync"]);
    const summary = await stage.run();
    assert.deepEqual([summary.failed, summary.sent], [1, 2]);
    assert.deepEqual(summary.channels?.map(({ name, status, reason }) => [name, status, reason]), [
      ["team", "dead", "Discord answered 401: Invalid Webhook Token (code 50027)"],
      [null, "healthy", undefined],
    ]);
    const texts = arrived(stage).sort();
    assert.match(
      texts.find((line) => line.includes("CHANNEL DEAD")) ?? "",
      /^telegram: .*channel "team" \(discord\)/,
    );
    assert.ok(texts.some((line) => line.includes("FAILED: sync in smoothed")));
    assert.match(
      stage.sink.deliveries().find(({ text }) => text?.includes("FAILED: sync"))?.text ?? "",
      /Alerts no longer get through "team" \(discord\): Discord answered 401/,
    );
    await fail(stage, ["purge"]);
    const second = await stage.run();
    assert.deepEqual([second.failed, second.sent], [0, 1], "no attempt at the dead one");
    await stage.sql`update alert_config set webhook_url = ${stage.sink.discordWebhookUrl} where id = ${bad}`;
    await recover(stage);
    const third = await stage.run();
    assert.equal(third.channels?.[0]?.status, "healthy");
    const ends = arrived(stage).slice(3);
    assert.ok(ends.every((line) => line.startsWith("telegram")), "whoever was told hears the end");
    assert.ok(ends.some((line) => line.includes('channel "team"')));
    assert.ok(ends.some((line) => /2 jobs in smoothed/.test(line)));
  }));

Deno.test("the only channel there is refuses: nothing is lost, and once it is set right everything arrives", () =>
  onStage(async (stage) => {
    const bad = await addDiscord(stage, { webhook_url: `${stage.sink.discordWebhookUrl}x` });
    await fail(stage, ["sync"]);
    const first = await stage.run();
    assert.deepEqual([first.failed, first.sent, first.channels?.[0]?.status], [1, 0, "dead"]);
    await stage.run();
    await stage.sql`update alert_config set webhook_url = ${stage.sink.discordWebhookUrl} where id = ${bad}`;
    await stage.run();
    assert.equal(arrived(stage).length, 1);
    assert.match(arrived(stage)[0] ?? "", /FAILED: sync/);
  }));

Deno.test("a dead channel is tried again after an hour, and a test alert that arrives heals it", () =>
  onStage(async (stage) => {
    const row = await addDiscord(stage);
    await addTelegram(stage, { priority: 1 });
    await stage.sql`select monitoring.note_channel_result(${row}, 'Discord answered 404')`;
    await stage.run();
    await fail(stage, ["a"]);
    await stage.run();
    assert.ok(arrived(stage).every((line) => line.startsWith("telegram")));
    await pass(stage, "61 minutes");
    await fail(stage, ["b"], { code: "missed" });
    await stage.run();
    assert.ok(arrived(stage).some((line) => line.startsWith("discord") && line.includes("MISSED: b")));
    await stage.sql`select monitoring.note_channel_result(${row}, 'Discord answered 404')`;
    await stage.run({ test: { channel: "discord" } });
    assert.equal((await stage.run()).channels?.[0]?.status, "healthy");
  }));

// --- what people write ---

Deno.test("a bad row of alert_config is refused with a sentence, or named in the answer", () =>
  onStage(async (stage) => {
    const id = await addDiscord(stage);
    const mistakes: [string, RegExp][] = [
      [`min_severity = 'urgent'`, /min_severity is critical, important or low/],
      [`events = '{opened,closed}'`, /events are some of opened, reminder, resolved/],
      [`events = '{null}'`, /events are some of/],
      [`quiet_from = '22:00'`, /quiet_from and quiet_until are given together and differ/],
      [`quiet_from = '22:00', quiet_until = '22:00'`, /given together and differ/],
      [`quiet_time_zone = 'Berlin'`, /quiet_time_zone is a time zone such as Europe\/Berlin, not "Berlin"/],
      [`repeat_minutes = 2`, /repeat_minutes is 0 \(no reminders\) or 5 to 43200/],
      [`only_escalations = true`, /only_escalations needs escalation_minutes/],
      [`project_name = ' '`, /project_name is not empty/],
      [
        `criticality = 'low', min_severity = 'critical'`,
        /min_severity is not graver than criticality/,
      ],
      [
        `criticality = 'low', escalation_minutes = 30`,
        /escalation_minutes needs criticality critical or all/,
      ],
      [`quiet_from = '00:00', quiet_until = '24:00'`, /are whole minutes before 24:00/],
      [`quiet_from = '22:00:30', quiet_until = '22:00'`, /are whole minutes before 24:00/],
    ];
    for (const [change, expected] of mistakes) {
      await assert.rejects(
        stage.sql.unsafe(`update alert_config set ${change} where id = '${id}'`),
        expected,
      );
    }
    await assert.rejects(
      stage.sql`update app_settings set value = '2' where key = 'flapping_changes'`,
      /flapping_changes is 0 \(never\) or 3 to 100/,
    );
    await stage.sql`update alert_config set project_name = 'smothed'`;
    await addDiscord(stage, { name: "no secret", webhook_url: "env:NOT_SET" });
    await addDiscord(stage, { name: "inside", webhook_url: "https://10.0.0.7/api/webhooks/1/a" });
    await fail(stage, ["sync"]);
    await stage.sql`update job_inventory set alert_channel = 'team-x'`;
    const { config_faults } = await stage.run();
    assert.deepEqual(config_faults, [
      'job_inventory.alert_channel "team-x" names no enabled row of alert_config',
      'alert_config.project_name "smothed" names no project',
      'Row "no secret" (discord) of alert_config: Cannot resolve "env:NOT_SET": there is no function secret of that name',
      'Row "inside" (discord) of alert_config: Cannot send to host "10.0.0.7": it is not on the public internet',
    ]);
  }));

Deno.test("nobody but the owner sees or uses any of it", () =>
  onStage(async ({ sql }) => {
    const rows = await sql<{ name: string }[]>`
      select c.oid::regclass::text as name from pg_class c
      where c.oid in ('public.silences'::regclass, 'public.channel_state'::regclass, 'monitoring.policy_state'::regclass,
                      'public.incident_overview'::regclass, 'public.false_alarms'::regclass)
        and (has_table_privilege('anon', c.oid, 'select') or has_table_privilege('authenticated', c.oid, 'select')
             or (c.relkind = 'r' and not c.relrowsecurity))`;
    assert.deepEqual(rows.map(({ name }) => name), []);
    const bare = await sql<{ name: string }[]>`
      select a.attrelid::regclass || '.' || a.attname as name from pg_attribute a
      where a.attrelid = 'public.silences'::regclass and a.attnum > 0 and a.attname not in ('id', 'created_at')
        and col_description(a.attrelid, a.attnum) is null`;
    assert.deepEqual(bare.map(({ name }) => name), []);
  }));

// --- anything at all ---

/** A generator of numbers from 0 to 1 that a seed repeats. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** A network on which now and then a request fails, before or after its vendor has taken it. */
function troubled(isTrouble: () => boolean, pick: <T>(items: readonly T[]) => T): typeof fetch {
  return async (...request) => {
    if (!isTrouble()) return await fetch(...request);
    const fault = pick(["lost", "taken and lost", "503", "404", "429"]);
    if (fault === "taken and lost") await fetch(...request).then((response) => response.body?.cancel());
    if (fault.includes("lost")) throw new TypeError("connection reset");
    return new Response(`{"retry_after":1}`, { status: Number(fault) });
  };
}

for (const seed of [1, 2, 3]) {
  Deno.test(`whatever happens, what still holds in the end was told, and nothing waits for ever (${seed})`, () =>
    onStage(async (stage) => {
      const random = randomFrom(seed);
      const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
      const rows = [
        await addDiscord(stage, { criticality: "important", repeat_minutes: 60 }),
        await addDiscord(stage, { criticality: "low", quiet_from: "22:00", quiet_until: "06:00" }),
        await addTelegram(stage, { criticality: "critical", repeat_minutes: 30 }),
        await addTelegram(stage, { escalation_minutes: 15, only_escalations: true }),
      ];
      const jobs = ["a", "b", "c", "d", "e", "f"];
      let trouble = 0.3;
      const over: Partial<SendAlertDeps> = { fetch: troubled(() => random() < trouble, pick) };
      const tick = (more: Partial<SendAlertDeps> = {}) => stage.run({}, { ...over, ...more });
      const steps: (() => Promise<unknown>)[] = [
        () =>
          fail(stage, [...new Set([pick(jobs), pick(jobs)])], {
            severity: pick(["critical", "important", "low"]),
          }),
        () => recover(stage, [pick(jobs)]),
        () => fail(stage, jobs, { code: pick(["failed", "missed"]) }),
        () => recover(stage),
        () => pass(stage, pick(["1 minute", "10 minutes", "70 minutes", "7 hours"])),
        () =>
          stage.sql`select monitoring.silence('smoothed', ${
            pick(jobs)
          }, now() + interval '1 hour', 'x', 'y')`,
        () =>
          stage.sql`
          select monitoring.acknowledge_incident(id, 'x') from incidents where resolved_at is null limit 1`,
        () =>
          stage
            .sql`select monitoring.resolve_incident(id, 'x') from incidents where resolved_at is null limit 1`,
        () => stage.sql`update alert_config set enabled = not enabled where id = ${pick(rows)}`,
        () => tick({ deadline: new Date(0) }),
        () => Promise.all([tick({ sql: stage.sql }), tick({ sql: stage.sql })]),
        () => tick(),
      ];
      for (let step = 0; step < 120; step++) {
        await pick(steps)();
        if (random() < 0.5) await tick();
      }
      trouble = 0;
      await stage.sql`update alert_config set enabled = true, quiet_from = null, quiet_until = null`;
      await stage.sql`select monitoring.end_silence(id, 'x') from silences`;
      for (let round = 0; round < 12; round++) {
        await pass(stage, "11 minutes");
        await tick();
      }
      const untold = await stage.sql`
        select i.code, i.severity from incidents i
        where i.resolved_at is null and i.severity <> 'info' and not exists (
          select from delivery_incidents t join alert_deliveries d on d.id = t.delivery_id
          where t.incident_id = i.id and d.state = 'sent')`;
      assert.deepEqual([...untold], []);
      const waiting = await stage.sql`
        select event, state, held_reason, last_error, attempts, uncertain_attempts, admitted_at is not null as admitted, next_attempt_at - now() as wait, leased_until from alert_deliveries where state in ('due', 'unroutable')`;
      assert.deepEqual([...waiting], []);
      const twice = await stage.sql`
        select t.incident_id, d.alert_config_id, d.event, count(*) from delivery_incidents t
        join alert_deliveries d on d.id = t.delivery_id and d.state = 'sent' and d.event <> 'reminder'
        group by 1, 2, 3 having count(*) > 1`;
      assert.deepEqual([...twice], []);
      const silent = await stage.sql`
        select 1 from alert_deliveries d where d.state in ('cancelled', 'failed') and d.last_error is null
           or not exists (select from delivery_incidents t where t.delivery_id = d.id)`;
      assert.deepEqual([...silent], []);
    }));
}

// --- size ---

Deno.test("5,000 open incidents, told on two rows, are reminded of in six messages, in as many runs as that takes", () =>
  onStage(async (stage) => {
    await addDiscord(stage);
    await addTelegram(stage);
    await stage.sql`
      with job as (
        insert into job_inventory (project_name, job_name)
        select 'project_' || n % 20, 'sync_customer_' || n from generate_series(1, 5000) as n returning id, project_name
      ), incident as (
        insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, job_inventory_id, opened_at)
        select project_name, 'job', id::text, 'failed', 'important', 'it failed', id, now() - interval '5 hours' from job
        returning id
      ), delivery as (
        insert into alert_deliveries (alert_config_id, channel, event, state, sent_at, admitted_at, created_at)
        select c.id, c.channel, 'opened', 'sent', now() - interval '5 hours', now() - interval '5 hours',
               now() - interval '5 hours'
        from alert_config c, generate_series(1, 3) returning id
      )
      insert into delivery_incidents select delivery.id, incident.id from delivery, incident`;
    await stage.sql`analyze`;
    await stage.run();
    assert.equal(arrived(stage).length, 0);
    await pass(stage, "2 hours");
    await stage.sql`analyze`;
    // more than one run may take on: the next goes on
    for (let left: unknown = -1; left !== 0;) left = (await stage.run()).left;
    assert.equal(arrived(stage).length, 6);
    const [{ untold = -1 } = {}] = await stage.sql<{ untold: number }[]>`
      select count(*)::int as untold from incidents i where not exists (
        select from delivery_incidents t join alert_deliveries d on d.id = t.delivery_id
        where t.incident_id = i.id and d.event = 'reminder' and d.state = 'sent')`;
    assert.equal(untold, 0);
  }));
