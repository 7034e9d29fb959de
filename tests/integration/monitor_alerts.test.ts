/** Silences and what people do about incidents, by MonitoringAPI on a real hub: what is written, refused and shown. */
import assert from "node:assert/strict";
import {
  type Connection,
  MonitorError,
  MonitoringAPI,
  type SilenceRequest,
} from "../../scripts/monitoring_api.ts";
import { addDiscord, addIncident, onStage, owe, type Stage } from "../support/outbox.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

function monitorOf(url: string): MonitoringAPI {
  const connection: Connection = {
    url: "http://127.0.0.1:9",
    secretKey: "sb_secret_x",
    hubDatabaseUrl: url,
    caCert: null,
    origin: { kind: "given", text: "a test" },
  };
  return new MonitoringAPI(connection);
}

async function refusal(work: Promise<unknown>): Promise<MonitorError> {
  const error = await work.then(() => null, (thrown) => thrown);
  assert.ok(error instanceof MonitorError, String(error));
  return error;
}

async function addJobs({ sql }: Pick<TestDatabase, "sql">, ...names: string[]): Promise<void> {
  for (const name of names) {
    await sql`insert into job_inventory (project_name, job_name) values ('smoothed', ${name})`;
  }
}

/** A stage, and the API on its hub. */
function onMonitoredStage(test: (stage: Stage, monitor: MonitoringAPI) => Promise<void>): Promise<void> {
  return onStage(async (stage) => {
    const { host, port, database, user, pass } = stage.sql.options;
    const url = new URL(`postgresql://${host[0]}:${port[0]}/${database}`);
    [url.username, url.password] = [String(user), String(pass ?? "")];
    await using monitor = monitorOf(url.href);
    await test(stage, monitor);
  });
}

// --- silences ---

Deno.test("silence() writes who, why and until when, tells which jobs fit, and endSilence() ends it", async () => {
  await using hub = await testDatabase("hub");
  await addJobs(hub, "sync_leads", "sync_orders", "bill");
  await using monitor = monitorOf(hub.url);
  const { silence, jobs, warnings } = await monitor.silence({
    ...{ project: "smoothed", jobs: "sync_*", for: "2h", reason: "migration", by: "dana" },
  });
  assert.deepEqual([jobs, warnings], [["smoothed/sync_leads", "smoothed/sync_orders"], []]);
  assert.deepEqual([silence.state, silence.created_by, silence.reason], ["holds", "dana", "migration"]);
  const minutes = (Date.parse(silence.ends_at ?? "") - Date.parse(silence.created_at)) / 60_000;
  assert.ok(Math.abs(minutes - 120) < 1);
  assert.deepEqual((await monitor.listSilences({ project: "smoothed" })).map(({ id }) => id), [silence.id]);
  const ended = await monitor.endSilence(silence.id.slice(0, 6), { by: "ada" });
  assert.deepEqual([ended.changed, ended.silence.state, ended.silence.ended_by], [true, "ended", "ada"]);
  assert.equal((await monitor.endSilence(silence.id)).changed, false);
  assert.deepEqual(await monitor.listSilences(), []);
  assert.equal((await monitor.listSilences({ which: "all" })).length, 1);
});

Deno.test("silence() on a schedule knows its next times, by its zone", async () => {
  await using hub = await testDatabase("hub");
  await addJobs(hub, "report");
  await using monitor = monitorOf(hub.url);
  const { silence, warnings } = await monitor.silence({
    ...{
      project: "*",
      schedule: "30 4 * * *",
      duration: "90m",
      timezone: "Europe/Berlin",
      reason: "reindex",
    },
  });
  assert.deepEqual([silence.project_name, silence.ends_at, silence.next.length, warnings], [
    null,
    null,
    3,
    [],
  ]);
  const wall = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", timeStyle: "short" });
  for (const { from, until } of silence.next) {
    assert.equal(wall.format(new Date(from)), "04:30");
    assert.equal(Date.parse(until ?? "") - Date.parse(from), 90 * 60_000);
  }
  await hub.sql`update silences set schedule = '0 99 * * *'`;
  assert.deepEqual((await monitor.listSilences()).map(({ state, next }) => [state, next]), [["broken", []]]);
});

Deno.test("silence() writes nothing where anything is wrong, and warns of a pattern that fits no job", async () => {
  await using hub = await testDatabase("hub");
  await addJobs(hub, "sync_leads");
  await using monitor = monitorOf(hub.url);
  const good: SilenceRequest = { project: "smoothed", jobs: "sync_*", for: "2h", reason: "x", by: "dana" };
  const faults = await refusal(monitor.silence({ ...good, for: "long", reason: " ", timezone: "Mars" }));
  assert.equal(faults.code, "usage");
  assert.match(faults.message, /reason must say why; timezone must be.*; for must be a duration/);
  const unknown = await refusal(monitor.silence({ ...good, project: "smothed" }));
  assert.deepEqual([unknown.code, unknown.candidates], ["not_found", ["smoothed"]]);
  assert.equal((await refusal(monitor.silence({ ...good, by: " " }))).code, "usage");
  assert.equal((await hub.sql`select from silences`).length, 0);
  const { warnings } = await monitor.silence({ ...good, jobs: "sink_*" });
  assert.match(warnings[0] ?? "", /No job is called "sink_\*" in project "smoothed" now/);
  assert.equal((await refusal(monitor.endSilence("ffff0000"))).code, "not_found");
});

// --- incidents ---

Deno.test("incidents are named by the beginnings of their ids, open ones first, all or none", () =>
  onMonitoredStage(async (stage, monitor) => {
    const ids = ["5f2c0000-0000-4000-8000-000000000001", "5f2c0000-0000-4000-8000-000000000002"] as const;
    for (const id of ids) await addIncident(stage, { id });
    const both = await refusal(monitor.acknowledgeIncidents("5f2c"));
    assert.deepEqual([both.code, both.candidates.length], ["ambiguous", 2]);
    const mixed = await refusal(monitor.acknowledgeIncidents([ids[0], "dead0000", "beef0000"]));
    assert.equal(mixed.code, "not_found");
    assert.match(mixed.message, /"dead0000"; .*"beef0000"/);
    assert.equal((await stage.sql`select from incidents where acknowledged_at is not null`).length, 0);
    await monitor.resolveIncidents(ids[1], { by: "dana" });
    const [acked] = await monitor.acknowledgeIncidents("#5F2C", { by: "dana", note: " on it " });
    assert.deepEqual([acked?.id, acked?.changed, acked?.acknowledged_by], [ids[0], true, "dana"]);
    const [again] = await monitor.acknowledgeIncidents([ids[0], ids[0]], { by: "ada" });
    assert.deepEqual([again?.changed, again?.acknowledged_by], [false, "dana"]);
    const [open] = await monitor.listIncidents();
    assert.deepEqual([open?.acknowledged_by, open?.acknowledgement_note], ["dana", "on it"]);
  }));

Deno.test("resolveIncidents() tells whoever was told; markFalseAlarms() counts, also what is over", () =>
  onMonitoredStage(async (stage, monitor) => {
    const config = await addDiscord(stage, { name: "team" });
    const id = await addIncident(stage);
    await owe(stage, [id], { config });
    await stage.run();
    const [closed] = await monitor.resolveIncidents(id, { by: "dana" });
    assert.equal(closed?.changed, true);
    await stage.run();
    assert.match(stage.sink.deliveries().at(-1)?.text ?? "", /Somebody closed the incident by hand/);
    const [marked] = await monitor.markFalseAlarms(id.slice(0, 8), { by: "ada" });
    assert.deepEqual([marked?.changed, marked?.false_alarm_by], [true, "ada"]);
    assert.deepEqual(await monitor.falseAlarmRate(), { incidents: 1, false_alarms: 1, rate: 1 });
    assert.deepEqual(await monitor.falseAlarmRate("scraping"), { incidents: 0, false_alarms: 0, rate: null });
    const [shown] = await monitor.listIncidents({ which: "all" });
    assert.deepEqual([shown?.resolved_by, shown?.false_alarm_by], ["dana", "ada"]);
    assert.deepEqual(shown?.false_alarms, { incidents: 1, false_alarms: 1, rate: 1 });
    assert.deepEqual(shown?.messages.map(({ row, event, state }) => [row, event, state]), [
      ["team", "resolved", "sent"],
      ["team", "opened", "sent"],
    ]);
  }));

Deno.test("listIncidents() tells what waits and why, which silence covers it, and heeds since", () =>
  onMonitoredStage(async (stage, monitor) => {
    const config = await addDiscord(stage, { name: "team" });
    const id = await addIncident(stage, { opened_at: new Date(Date.now() - 3 * 3_600_000) });
    await owe(stage, [id], { config });
    await stage.sql`update alert_deliveries set admitted_at = null`;
    await stage.sql`insert into monitored_projects (name) values ('smoothed')`;
    const { silence } = await monitor.silence({ project: "smoothed", for: "1d", reason: "move", by: "dana" });
    await stage.run();
    const [incident] = await monitor.listIncidents();
    assert.deepEqual([incident?.silenced?.id, incident?.silenced?.by], [silence.id, "dana"]);
    const [waiting] = incident?.messages ?? [];
    assert.deepEqual([waiting?.row, waiting?.state, waiting?.count], ["team", "due", 1]);
    assert.match(waiting?.reason ?? "", /^Silenced by dana until .*: move$/);
    const since = (hours: number) =>
      monitor.listIncidents({ since: new Date(Date.now() - hours * 3_600_000).toISOString() });
    assert.deepEqual([(await since(2)).length, (await since(4)).length], [0, 1]);
  }));
