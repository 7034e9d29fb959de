/** Every channel from its row of `alert_config` to its vendor: constraints, references, parts, threads, defaults. */
import assert from "node:assert/strict";
import type postgres from "postgres";
import { openHub } from "../../supabase/functions/_shared/hub/client.ts";
import type { ChannelName } from "../../supabase/functions/_shared/domain/delivery.ts";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import type { Log } from "../../supabase/functions/_shared/log.ts";
import type { SendAlertDeps } from "../../supabase/functions/send-alert/deps.ts";
import type { SendAlertInput } from "../../supabase/functions/send-alert/input.ts";
import { runSendAlert } from "../../supabase/functions/send-alert/run.ts";
import type { SendAlertSummary } from "../../supabase/functions/send-alert/summary.ts";
import { type Sink, startSink } from "../fakes/sink.ts";
import { testDatabase } from "../support/postgres.ts";

const NAMES = Object.keys(channels) as ChannelName[];

/** Columns by the names that targets have. */
const COLUMNS: Readonly<Record<string, string>> = {
  webhookUrl: "webhook_url",
  botToken: "bot_token",
  chatId: "chat_id",
  apiKey: "api_key",
  account: "account",
  sender: "sender",
  recipients: "recipients",
};

interface Stage {
  sql: postgres.Sql;
  sink: Sink;
  /** Function secrets. */
  env: Record<string, string>;
  logged: string[];
  run(input?: SendAlertInput, over?: Partial<SendAlertDeps>): Promise<SendAlertSummary>;
}

async function onStage(test: (stage: Stage) => Promise<void>): Promise<void> {
  await using db = await testDatabase("hub");
  // an hour a request, so that no fake throttles by itself
  let hours = 0;
  const sink = await startSink({ now: () => Date.UTC(2026, 10, 21) + 3_600_000 * hours++ });
  const hub = openHub({ databaseUrl: db.url, caCert: null });
  const logged: string[] = [];
  const env: Record<string, string> = {};
  for (const name of NAMES) {
    const { api } = channels[name];
    if (api !== null) env[api.variable] = sink.url;
  }
  const run = (input: SendAlertInput = {}, over: Partial<SendAlertDeps> = {}) =>
    runSendAlert({
      sql: hub,
      log: recordingLog(logged),
      clock: () => new Date(),
      config: { outgoingAllowedHosts: [new URL(sink.url).host], secret: (name) => env[name] },
      deadline: new Date(Date.now() + 60_000),
      random: () => 0.5,
      pause: () => Promise.resolve(),
      ...over,
    }, input);
  try {
    await test({ sql: db.sql, sink, env, logged, run });
  } finally {
    await hub.end({ timeout: 1 });
    await sink.close();
  }
}

function recordingLog(lines: string[]): Log {
  const write = (event: string, fields: unknown) => void lines.push(JSON.stringify({ event, fields }));
  return { info: write, warn: write, error: write, with: () => recordingLog(lines) };
}

/** A row whose target is given by references, as it should be. */
async function addConfig(
  { sql, sink, env }: Stage,
  channel: ChannelName,
  over: Record<string, string> = {},
): Promise<string> {
  const row: Record<string, string> = { channel };
  for (const [key, value] of Object.entries(sink.targets[channel])) {
    const secret = `${channel}_${COLUMNS[key]}`.toUpperCase();
    env[secret] = value;
    row[COLUMNS[key] ?? key] = `env:${secret}`;
  }
  const [config] = await sql<{ id: string }[]>`insert into alert_config ${
    sql({ ...row, ...over })
  } returning id`;
  return config?.id ?? "";
}

async function addIncident({ sql }: Stage, over: Record<string, unknown> = {}): Promise<string> {
  const row = {
    project_name: "smoothed",
    subject_kind: "job",
    subject_id: crypto.randomUUID(),
    code: "failed",
    severity: "critical",
    summary: "the last run failed: ERROR: division by zero",
    ...over,
  };
  const [incident] = await sql<{ id: string }[]>`insert into incidents ${sql(row)} returning id`;
  return incident?.id ?? "";
}

async function resolve({ sql }: Stage, incident: string): Promise<void> {
  await sql`update incidents set resolved_at = now(), resolution = 'recovered' where id = ${incident}`;
}

async function owe(
  { sql }: Stage,
  incidents: string[],
  { config, channel, event = "opened" }: { config: string; channel: ChannelName; event?: string },
): Promise<string> {
  const [delivery] = await sql<{ id: string }[]>`
    insert into alert_deliveries (alert_config_id, channel, event) values (${config}, ${channel}, ${event})
    returning id`;
  const id = delivery?.id ?? "";
  for (const incident of incidents) {
    await sql`insert into delivery_incidents (delivery_id, incident_id) values (${id}, ${incident})`;
  }
  return id;
}

async function makeDue({ sql }: Stage): Promise<void> {
  await sql`update alert_deliveries set next_attempt_at = now(), leased_until = null where state = 'due'`;
}

function bodies(sink: Sink, channel: ChannelName): string[] {
  return sink.deliveries().filter((one) => one.channel === channel && one.accepted).map((one) =>
    one.text ?? ""
  );
}

for (const name of NAMES) {
  Deno.test(`${name} gets an alert and a test through a row that refers to its secrets`, () =>
    onStage(async (stage) => {
      const config = await addConfig(stage, name);
      await owe(stage, [await addIncident(stage)], { config, channel: name });
      assert.equal((await stage.run()).sent, 1);
      assert.match(bodies(stage.sink, name)[0] ?? "", /FAILED/);
      const tested = await stage.run({ test: { channel: name } });
      assert.deepEqual(tested.deliveries.map(({ state, error }) => ({ state, error })), [
        { state: "sent", error: undefined },
      ]);
      assert.match(bodies(stage.sink, name)[1] ?? "", /TEST: alerts reach this channel/);
    }));

  Deno.test(`${name} leaves no secret in any row, log line or answer, whatever the vendor quotes`, () =>
    onStage(async (stage) => {
      const { sql, sink, env, logged, run } = stage;
      const config = await addConfig(stage, name);
      await owe(stage, [await addIncident(stage)], { config, channel: name });
      const secrets = secretsOf(stage, name);
      const all = Object.values(env).join(" ");
      const quoted = {
        message: all,
        ok: false,
        description: all,
        ErrorCode: 300,
        Message: all,
        status: "invalid event",
        errors: [all],
      };
      sink.script(name, [
        { status: 500, body: `<html>${all}` },
        { status: 503, body: quoted },
        { status: 429, body: quoted },
        { status: 400, body: quoted },
      ]);
      const answers: unknown[] = [];
      for (let attempt = 0; attempt < 4; attempt++) {
        answers.push(await run());
        await makeDue(stage);
      }
      const rows = await sql`
        select (select json_agg(d) from alert_deliveries d) as deliveries, (select json_agg(i) from incidents i) as incidents`;
      const left = JSON.stringify([answers, logged, rows]);
      assert.match(left, /\*\*\*/, "something was quoted");
      for (const secret of secrets) assert.ok(!left.includes(secret), `a secret is left in ${left}`);
      const [delivery] = await sql<{ state: string }[]>`select state from alert_deliveries`;
      assert.equal(delivery?.state, "failed");
    }));

  Deno.test(`${name} needs what it needs, and the table says what`, () =>
    onStage(async ({ sql, sink }) => {
      const target = Object.entries(sink.targets[name]).map(([key, value]) => [COLUMNS[key] ?? key, value]);
      for (const [column] of target) {
        const row = { channel: name, ...Object.fromEntries(target), [column ?? ""]: " " };
        await assert.rejects(
          async () => await sql`insert into alert_config ${sql(row)}`,
          new RegExp(`"${name} needs [^"]*${column}[^"]*"`),
        );
      }
    }));
}

/** What must be nowhere: keys and tokens, and the addresses that are secrets themselves; of numbers, all of it. */
function secretsOf({ sink }: Stage, name: ChannelName): string[] {
  const { webhookUrl, botToken, apiKey, account, recipients } = sink.targets[name];
  const path = name === "webhook" ? undefined : webhookUrl?.split("/").at(-1);
  const numbers = name === "twilio" ? recipients : undefined;
  return [webhookUrl, path, botToken, apiKey, account, numbers].filter((one) => one !== undefined);
}

Deno.test("a channel that nobody has heard of is refused by the table", () =>
  onStage(async ({ sql }) => {
    await assert.rejects(
      async () => await sql`insert into alert_config (channel) values ('pigeon')`,
      /channel is one of those that the column's comment names/,
    );
  }));

// --- SMS to several ---

Deno.test("each number gets its SMS once, though one is unsubscribed and one needs a second attempt", () =>
  onStage(async (stage) => {
    const { sink, run, sql } = stage;
    const recipients = "+15551230001, +15005550004, +15551230002";
    const config = await addConfig(stage, "twilio", { recipients });
    await owe(stage, [await addIncident(stage)], { config, channel: "twilio" });
    // after the first two the vendor is down for a while
    sink.script("twilio", [{}, {}, { status: 503 }]);
    assert.equal((await run()).retried, 1);
    await makeDue(stage);
    const second = await run();
    assert.equal(second.sent, 1);
    assert.match(second.deliveries[0]?.note ?? "", /^the number ending in 0004: .*unsubscribed.*21610/);
    const numbers = bodies(sink, "twilio").map((text) => text.split("\n")[0]);
    assert.deepEqual(numbers, ["+15551230001", "+15551230002"]);
    const [row] = await sql<{ rendered: string }[]>`select rendered::text from alert_deliveries`;
    assert.doesNotMatch(row?.rendered ?? "", /555123|500555/);
  }));

Deno.test("an SMS that nobody answered for is sent once more, and then never again", () =>
  onStage(async (stage) => {
    const { sink, run, sql } = stage;
    const config = await addConfig(stage, "twilio");
    await owe(stage, [await addIncident(stage)], { config, channel: "twilio" });
    sink.script("twilio", [{ destroy: true, accept: true }, { destroy: true, accept: true }]);
    assert.equal((await run()).retried, 1);
    await makeDue(stage);
    assert.equal((await run()).failed, 1);
    await makeDue(stage);
    await run();
    assert.equal(bodies(sink, "twilio").length, 2);
    const [row] = await sql<{ last_error: string }[]>`select last_error from alert_deliveries`;
    assert.match(row?.last_error ?? "", /may have got through/);
  }));

Deno.test("who may have an SMS that nobody answered for hears of its end", () =>
  onStage(async (stage) => {
    const { sink, run, sql } = stage;
    const config = await addConfig(stage, "twilio");
    const incident = await addIncident(stage);
    await owe(stage, [incident], { config, channel: "twilio" });
    sink.script("twilio", [{ destroy: true, accept: true }, { destroy: true, accept: true }]);
    await run();
    await makeDue(stage);
    assert.equal((await run()).failed, 1);
    await resolve(stage, incident);
    const end = await owe(stage, [incident], { config, channel: "twilio", event: "resolved" });
    await sql`update alert_deliveries set admitted_at = null where id = ${end}`;
    assert.equal((await run()).sent, 1);
    assert.match(bodies(sink, "twilio").at(-1) ?? "", /RECOVERED/);
  }));

Deno.test("who has an SMS whose other numbers were refused with the account hears of its end", () =>
  onStage(async (stage) => {
    const { sink, run, sql } = stage;
    const config = await addConfig(stage, "twilio", { recipients: "+15551230001, +15551230002" });
    const incident = await addIncident(stage);
    await owe(stage, [incident], { config, channel: "twilio" });
    sink.script("twilio", [{}, { status: 401, body: { code: 20003, message: "Authenticate", status: 401 } }]);
    assert.equal((await run()).failed, 1);
    await resolve(stage, incident);
    const end = await owe(stage, [incident], { config, channel: "twilio", event: "resolved" });
    await sql`update alert_deliveries set admitted_at = null where id = ${end}`;
    await sql`delete from channel_state`;
    await run();
    const [row] = await sql<{ state: string; last_error: string }[]>`
      select state, last_error from alert_deliveries where id = ${end}`;
    assert.equal(row?.state, "sent", row?.last_error);
    assert.match(bodies(sink, "twilio").at(-1) ?? "", /RECOVERED/);
  }));

Deno.test("an SMS that cannot have left is tried as often as need be", () =>
  onStage(async (stage) => {
    const { env, sink, run } = stage;
    const config = await addConfig(stage, "twilio");
    await owe(stage, [await addIncident(stage)], { config, channel: "twilio" });
    const closed = await startSink();
    await closed.close();
    env.TWILIO_API_URL = closed.url;
    const allowed = {
      config: {
        outgoingAllowedHosts: [new URL(closed.url).host, new URL(sink.url).host],
        secret: (name: string) => env[name],
      },
    };
    for (let attempt = 0; attempt < 4; attempt++) {
      assert.equal((await run({}, allowed)).retried, 1);
      await makeDue(stage);
    }
    env.TWILIO_API_URL = sink.url;
    assert.equal((await run({}, allowed)).sent, 1);
  }));

// --- PagerDuty's alerts ---

Deno.test("PagerDuty's alert of several incidents is resolved when the last of them is over", () =>
  onStage(async (stage) => {
    const { sink, run } = stage;
    const config = await addConfig(stage, "pagerduty");
    const to = { config, channel: "pagerduty" } as const;
    const [a, b] = [await addIncident(stage), await addIncident(stage)];
    await owe(stage, [a, b], to);
    await run();
    await resolve(stage, a);
    await owe(stage, [a], { ...to, event: "resolved" });
    const first = await run();
    assert.equal(first.sent, 1);
    assert.match(first.deliveries[0]?.note ?? "", /Nothing had to be sent/);
    await owe(stage, [b], { ...to, event: "reminder" });
    await run();
    await resolve(stage, b);
    await owe(stage, [b], { ...to, event: "resolved" });
    await run();
    const lines = bodies(sink, "pagerduty").map((text) => text.split("\n")[0] ?? "");
    const key = lines[0]?.replace("trigger ", "");
    assert.deepEqual(lines, [`trigger ${key}`, `trigger ${key} (open already)`, `resolve ${key}`]);
  }));

Deno.test("one recovery resolves all of PagerDuty's alerts that it ends", () =>
  onStage(async (stage) => {
    const { sink, run } = stage;
    const config = await addConfig(stage, "pagerduty");
    const to = { config, channel: "pagerduty" } as const;
    const [a, b] = [await addIncident(stage), await addIncident(stage)];
    for (const incident of [a, b]) await owe(stage, [incident], to);
    await run();
    for (const incident of [a, b]) await resolve(stage, incident);
    await owe(stage, [a, b], { ...to, event: "resolved" });
    await run();
    const resolved = bodies(sink, "pagerduty").slice(2);
    assert.deepEqual(
      resolved.toSorted(),
      [a, b].map((id) => `resolve supabase-job-monitor/${id}`).toSorted(),
    );
  }));

// --- default routes ---

Deno.test("an empty alert_config is filled from the secrets that exist, once, and alerts go there", () =>
  onStage(async (stage) => {
    const { sql, sink, env, run, logged } = stage;
    Object.assign(env, {
      DISCORD_WEBHOOK_URL: sink.discordWebhookUrl,
      PAGERDUTY_ROUTING_KEY: sink.targets.pagerduty.apiKey,
      RESEND_API_KEY: sink.targets.resend.apiKey,
      RESEND_FROM: sink.targets.resend.sender,
      ALERT_EMAIL_TO: sink.targets.resend.recipients,
    });
    const incident = await addIncident(stage);
    const [delivery] = await sql<{ id: string }[]>`
      insert into alert_deliveries (event, state, last_error) values ('opened', 'unroutable', 'no row') returning id`;
    await sql`insert into delivery_incidents values (${delivery?.id ?? ""}, ${incident})`;
    assert.equal((await run({ dry_run: true })).sent, 0);
    assert.equal((await sql`select from alert_config`).length, 0, "a dry run writes nothing");
    await run();
    const rows = await sql<{ route: string; target: string }[]>`
      select name || ' ' || criticality as route, coalesce(webhook_url, api_key) as target
      from alert_config order by name`;
    assert.deepEqual([...rows], [
      { route: "discord important", target: "env:DISCORD_WEBHOOK_URL" },
      { route: "discord-low low", target: "env:DISCORD_WEBHOOK_URL" },
      { route: "pagerduty critical", target: "env:PAGERDUTY_ROUTING_KEY" },
      { route: "resend all", target: "env:RESEND_API_KEY" },
    ]);
    assert.deepEqual(
      sink.deliveries().map(({ channel, accepted }) => `${channel} ${accepted}`).toSorted(),
      ["pagerduty true", "resend true"],
    );
    await run();
    assert.equal(logged.filter((line) => line.includes("default routes written")).length, 1);
  }));

Deno.test("a row of alert_config, even a disabled one, is a person's word: nothing is added", () =>
  onStage(async ({ sql, sink, env, run }) => {
    env.SLACK_WEBHOOK_URL = sink.targets.slack.webhookUrl ?? "";
    await sql`insert into alert_config (channel, webhook_url, enabled) values ('discord', 'https://x', false)`;
    await run();
    assert.equal((await sql`select from alert_config`).length, 1);
  }));

Deno.test("two first runs at once write the default routes once", () =>
  onStage(async ({ sql }) => {
    const rows = JSON.stringify([{
      name: "slack",
      channel: "slack",
      criticality: "all",
      webhook_url: "env:X",
    }]);
    const inserted = await Promise.all(Array.from({ length: 4 }, async () => {
      const [row] = await sql<{ n: number }[]>`
        select monitoring.ensure_default_alert_config(${rows}::text::jsonb) as n`;
      return row?.n;
    }));
    assert.deepEqual(inserted.toSorted(), [0, 0, 0, 1]);
  }));
