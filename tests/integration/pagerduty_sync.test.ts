/** Acknowledgements between the hub and PagerDuty, in both directions. */
import assert from "node:assert/strict";
import {
  type PagerDutyReport,
  pagerdutyWebhook,
  runPagerDutyWebhook,
} from "../../supabase/functions/pagerduty-webhook/run.ts";
import { recordingLog } from "../support/functions.ts";
import { addDiscord, addIncident, makeDue, onStage, owe, row, type Stage } from "../support/outbox.ts";

async function addPagerDuty({ sql, sink }: Stage, over: Record<string, unknown> = {}): Promise<string> {
  const row = { channel: "pagerduty", api_key: sink.targets.pagerduty.apiKey ?? "", ...over };
  const [config] = await sql<{ id: string }[]>`insert into alert_config ${sql(row)} returning id`;
  return config?.id ?? "";
}

/** A stage on which PagerDuty has one alert of so many incidents. */
async function onPagerStage(
  incidents: number,
  test: (stage: Stage, alert: { config: string; incidents: string[]; key: string }) => Promise<void>,
): Promise<void> {
  await onStage(async (stage) => {
    stage.env.PAGERDUTY_API_URL = stage.sink.url;
    const config = await addPagerDuty(stage);
    const ids = await Array.fromAsync({ length: incidents }, () => addIncident(stage));
    const delivery = await owe(stage, ids, { config, channel: "pagerduty" });
    assert.equal((await stage.run()).sent, 1);
    await test(stage, { config, incidents: ids, key: (await row(stage, delivery)).provider_id ?? "" });
  });
}

/** Events that PagerDuty took, such as `acknowledge supabase-job-monitor/…`. */
function events({ sink }: Stage): string[] {
  return sink.deliveries().flatMap(({ channel, text }) =>
    channel === "pagerduty" && text !== null ? [text.split("\n")[0] ?? ""] : []
  );
}

/** What PagerDuty calls us with, as its documents show it. */
function news(event: string, key: string | null, over: Record<string, unknown> = {}) {
  return {
    event: {
      id: "01DEN4HPBQAAAG05V5QQYBRZMF",
      event_type: `incident.${event}`,
      resource_type: "incident",
      occurred_at: new Date().toISOString(),
      agent: { id: "PLH1HKV", type: "user_reference", summary: "Tenex Engineer" },
      client: { name: "PagerDuty" },
      data: { id: "PGR0VU2", type: "incident", number: 2, status: event, incident_key: key },
      ...over,
    },
  };
}

function tell({ hub }: Stage, told: object): Promise<PagerDutyReport> {
  return runPagerDutyWebhook({ sql: hub, log: recordingLog() }, pagerdutyWebhook.parse(told).event);
}

async function acknowledgedBy({ sql }: Stage): Promise<(string | null)[]> {
  return (await sql<{ by: string | null }[]>`
    select acknowledged_by as by from incidents order by opened_at, id`).map(({ by }) => by);
}

Deno.test("our acknowledgement goes to PagerDuty once, under the alert's key, and nothing else does", () =>
  onPagerStage(1, async (stage, { incidents: [id = ""], key }) => {
    await stage.sql`select monitoring.acknowledge_incident(${id}, 'ada')`;
    await stage.sql`select monitoring.acknowledge_incident(${id}, 'eve')`;
    await stage.run();
    await stage.run();
    assert.deepEqual(events(stage).slice(1), [`acknowledge ${key}`]);
    const [raw] = stage.sink.deliveries().slice(-1);
    assert.deepEqual(Object.keys(raw?.raw as object).sort(), ["dedup_key", "event_action", "routing_key"]);
    await stage.sql`update incidents set resolved_at = now(), resolution = 'recovered'`;
    await owe(stage, [id], {
      config: (await configs(stage))[0] ?? null,
      channel: "pagerduty",
      event: "resolved",
    });
    await stage.run();
    assert.deepEqual(events(stage).at(-1), `resolve ${key}`);
  }));

async function configs({ sql }: Stage): Promise<string[]> {
  return (await sql<{ id: string }[]>`select id from alert_config`).map(({ id }) => id);
}

Deno.test("it survives a vendor that fails and a sender that dies, and waits for an alert that is not sent yet", () =>
  onStage(async (stage) => {
    stage.env.PAGERDUTY_API_URL = stage.sink.url;
    const config = await addPagerDuty(stage);
    const id = await addIncident(stage);
    await owe(stage, [id], { config, channel: "pagerduty" });
    await stage.sql`update incidents set acknowledged_at = now(), acknowledged_by = 'the table editor'`;
    stage.sink.script("pagerduty", [{ status: 500 }]);
    await stage.run();
    assert.deepEqual(events(stage), [], "not before the alert");
    await makeDue(stage);
    stage.sink.script("pagerduty", [{ accept: true }, { destroy: true }]);
    await stage.run();
    // as if its sender had died after claiming it
    await stage.sql`
      update alert_deliveries set leased_until = now() - interval '1 second', lease_token = gen_random_uuid()
      where state = 'due'`;
    await makeDue(stage);
    await stage.run();
    assert.deepEqual(events(stage).map((text) => text.split(" ")[0]), ["trigger", "acknowledge"]);
    const states = await stage.sql`select event, state from alert_deliveries order by created_at`;
    assert.deepEqual(states.map(({ event, state }) => `${event} ${state}`), [
      "opened sent",
      "acknowledged sent",
    ]);
  }));

Deno.test("an alert of several incidents is acknowledged once, when all of it that holds is taken on", () =>
  onPagerStage(4, async (stage, { incidents: [first = "", second = "", third = "", fourth = ""], key }) => {
    await stage.sql`select monitoring.acknowledge_incident(${first}, 'ada')`;
    await stage.run();
    assert.deepEqual(events(stage).length, 1, "three are nobody's");
    await stage.sql`update incidents set resolved_at = now(), resolution = 'recovered' where id = ${second}`;
    await stage.sql`select monitoring.acknowledge_incident(${third}, 'ada')`;
    await stage.sql`select monitoring.mark_false_alarm(${fourth}, 'ada')`;
    await stage.run();
    assert.deepEqual(events(stage).slice(1), [`acknowledge ${key}`]);
  }));

Deno.test("nobody hears of an acknowledgement but a PagerDuty that was told of the incident", () =>
  onStage(async (stage) => {
    stage.env.PAGERDUTY_API_URL = stage.sink.url;
    await addPagerDuty(stage);
    const disabled = await addPagerDuty(stage, { enabled: false });
    const id = await addIncident(stage);
    await owe(stage, [id], { config: await addDiscord(stage) });
    await owe(stage, [id], { config: disabled, channel: "pagerduty", state: "failed", error: "x" });
    await stage.run();
    await stage.sql`select monitoring.acknowledge_incident(${id}, 'ada')`;
    assert.deepEqual([...await stage.sql`select from alert_deliveries where event = 'acknowledged'`], []);
  }));

Deno.test("an acknowledgement is no message: the policy neither holds, counts, repeats nor reroutes it", () =>
  onPagerStage(1, async (stage, { incidents: [id = ""] }) => {
    const config = (await configs(stage))[0] ?? "";
    await addDiscord(stage);
    await stage.sql`select monitoring.silence(null, null, now() + interval '1 day', 'ada', 'migration')`;
    await stage.sql`select monitoring.acknowledge_incident(${id}, 'ada')`;
    const [view] = await stage.sql`select monitoring.policy_view(now(), 100) as view`;
    assert.deepEqual(view?.view.deliveries, []);
    assert.deepEqual(view?.view.admittedRecently[config] ?? 0, 1, "the alert alone");
    stage.sink.script("pagerduty", [{ status: 400, body: { status: "invalid event" } }]);
    await stage.run();
    const [refused] = await stage
      .sql`select state, last_error from alert_deliveries where event = 'acknowledged'`;
    assert.equal(refused?.state, "failed");
    assert.match(refused?.last_error, /PagerDuty answered 400/);
    const told = await stage.sql`
      select d.event, c.channel from alert_deliveries d join alert_config c on c.id = d.alert_config_id
      join delivery_incidents t on t.delivery_id = d.id where t.incident_id = ${id} and d.event = 'acknowledged'`;
    assert.deepEqual(told.map(({ channel }) => channel), ["pagerduty"]);
  }));

Deno.test("an acknowledgement whose row is disabled ends, and goes nowhere else", () =>
  onPagerStage(1, async (stage, { incidents: [id = ""], config }) => {
    await stage.sql`select monitoring.acknowledge_incident(${id}, 'ada')`;
    await stage.sql`update alert_config set enabled = false where id = ${config}`;
    await addDiscord(stage);
    await stage.run();
    const [ended] = await stage
      .sql`select state, last_error from alert_deliveries where event = 'acknowledged'`;
    assert.deepEqual({ ...ended }, {
      state: "cancelled",
      last_error: "Only the row that told of the incident can take its acknowledgement",
    });
  }));

Deno.test("an acknowledgement for which nothing had to be sent makes no dead channel healthy", () =>
  onPagerStage(2, async (stage, { incidents: [id = ""], config }) => {
    await stage.sql`
      update channel_state set status = 'dead', reason = 'invalid key' where alert_config_id = ${config}`;
    await stage.sql`select monitoring.acknowledge_incident(${id}, 'ada')`;
    await stage.run();
    const [state] = await stage.sql`select status from channel_state where alert_config_id = ${config}`;
    assert.equal(state?.status, "dead");
  }));

Deno.test("acknowledged in PagerDuty: all open incidents of the alert are, by whom PagerDuty names, and it hears no echo", () =>
  onPagerStage(3, async (stage, { incidents: [first = ""], key }) => {
    await stage.sql`update incidents set resolved_at = now(), resolution = 'recovered' where id = ${first}`;
    assert.deepEqual(await tell(stage, news("acknowledged", key)), {
      event: "incident.acknowledged",
      incidents: 3,
      changed: 2,
    });
    assert.deepEqual((await acknowledgedBy(stage)).filter((by) => by !== null), [
      "Tenex Engineer (PagerDuty)",
      "Tenex Engineer (PagerDuty)",
    ]);
    assert.equal((await tell(stage, news("acknowledged", key))).changed, 0, "told twice");
    assert.deepEqual([...await stage.sql`select from alert_deliveries where event = 'acknowledged'`], []);
  }));

Deno.test("of several services that were told of the incident, each hears of it: their alerts have one key", () =>
  onPagerStage(1, async (stage, { config, incidents: [id = ""], key }) => {
    const other = await addPagerDuty(stage);
    await owe(stage, [id], { config: other, channel: "pagerduty", minutesAgo: 1 });
    await stage.run();
    await tell(stage, news("acknowledged", key));
    const owed = await stage.sql`select alert_config_id from alert_deliveries where event = 'acknowledged'`;
    assert.deepEqual(owed.map((row) => row.alert_config_id).sort(), [config, other].sort());
  }));

Deno.test("unacknowledged in PagerDuty: what it acknowledged is open again, what a person took on here is not", () =>
  onPagerStage(2, async (stage, { incidents: [first = ""], key }) => {
    await stage.sql`select monitoring.acknowledge_incident(${first}, 'ada')`;
    await tell(stage, news("acknowledged", key));
    assert.deepEqual((await acknowledgedBy(stage)).toSorted(), ["Tenex Engineer (PagerDuty)", "ada"]);
    const back = await tell(stage, news("unacknowledged", key, { agent: null }));
    assert.deepEqual([back.incidents, back.changed], [2, 1]);
    assert.deepEqual((await acknowledgedBy(stage)).toSorted(), ["ada", null].toSorted());
  }));

Deno.test("an old acknowledgement that is told again does not undo what came after", () =>
  onPagerStage(1, async (stage, { key }) => {
    const at = (minutesAgo: number) => ({
      occurred_at: new Date(Date.now() - minutesAgo * 60_000).toISOString(),
    });
    await stage.sql`update incidents set opened_at = now() - interval '1 hour'`;
    await tell(stage, news("acknowledged", key, at(30)));
    await tell(stage, news("unacknowledged", key, at(20)));
    assert.equal((await tell(stage, news("acknowledged", key, at(30)))).changed, 0);
    assert.equal((await tell(stage, news("acknowledged", key, at(10)))).changed, 1);
    assert.equal((await tell(stage, news("unacknowledged", key, at(20)))).changed, 0);
    assert.deepEqual(await acknowledgedBy(stage), ["Tenex Engineer (PagerDuty)"]);
  }));

Deno.test("resolved in PagerDuty ends nothing here: the job's own recovery does", () =>
  onPagerStage(1, async (stage, { key }) => {
    assert.deepEqual(await tell(stage, news("resolved", key)), {
      event: "incident.resolved",
      incidents: 1,
      changed: 0,
    });
    const [incident] = await stage.sql`select resolved_at, acknowledged_by from incidents`;
    assert.deepEqual({ ...incident }, { resolved_at: null, acknowledged_by: null });
  }));

Deno.test("an alert that PagerDuty has although its answer got lost is known by its key", () =>
  onStage(async (stage) => {
    stage.env.PAGERDUTY_API_URL = stage.sink.url;
    const id = await addIncident(stage);
    await owe(stage, [id], { config: await addPagerDuty(stage), channel: "pagerduty" });
    stage.sink.script("pagerduty", [{ accept: true, destroy: true }]);
    await stage.run();
    assert.equal((await tell(stage, news("acknowledged", `supabase-job-monitor/${id}`))).changed, 1);
  }));

Deno.test("what does not concern us is accepted and passed over", () =>
  onPagerStage(1, async (stage, { key }) => {
    const others = [
      news("acknowledged", "somebody else's"),
      news("acknowledged", null),
      news("acknowledged", "nul \0"),
      news("triggered", key),
      news("responder.added", key, { data: null }),
      {
        event: { event_type: "pagey.ping", data: { message: "Hello from your friend Pagey!", type: "ping" } },
      },
    ];
    for (const told of others) {
      const { incidents, changed } = await tell(stage, told);
      assert.deepEqual([incidents, changed], [0, 0]);
    }
    assert.deepEqual(await acknowledgedBy(stage), [null]);
    for (const bad of [{}, { event: {} }, { event: { event_type: "x", occurred_at: "yesterday" } }]) {
      assert.equal(pagerdutyWebhook.safeParse(bad).success, false);
    }
  }));
