/** A hub of its own, a sink, and `send-alert` on them: what tests of the outbox and of the alert policy stand on. */
import assert from "node:assert/strict";
import type postgres from "postgres";
import { openHub } from "../../supabase/functions/_shared/hub/client.ts";
import type { Log } from "../../supabase/functions/_shared/log.ts";
import type { SendAlertDeps } from "../../supabase/functions/send-alert/deps.ts";
import type { SendAlertInput } from "../../supabase/functions/send-alert/input.ts";
import { runSendAlert } from "../../supabase/functions/send-alert/run.ts";
import type { SendAlertSummary } from "../../supabase/functions/send-alert/summary.ts";
import { type Sink, startSink } from "../fakes/sink.ts";
import { testDatabase } from "./postgres.ts";

/** What a test has: a hub of its own, a sink, and a way to run `send-alert` on them. */
export interface Stage {
  sql: postgres.Sql;
  hub: postgres.Sql;
  /** Of the hub, for connections of a test's own. */
  databaseUrl: string;
  sink: Sink;
  /** All log lines so far. */
  logged: string[];
  env: Record<string, string>;
  run(input?: SendAlertInput, over?: Partial<SendAlertDeps>): Promise<SendAlertSummary>;
}

/** Runs a test on a stage of its own. */
export async function onStage(test: (stage: Stage) => Promise<void>): Promise<void> {
  await using db = await testDatabase("hub");
  // an hour a request, so that the fake Discord does not throttle by itself
  let hours = 0;
  const sink = await startSink({ now: () => Date.UTC(2026, 10, 21) + 3_600_000 * hours++ });
  const hub = openHub({ databaseUrl: db.url, caCert: null });
  const logged: string[] = [];
  const env: Record<string, string> = { TELEGRAM_API_URL: sink.telegramApiUrl };
  const run = (input: SendAlertInput = {}, over: Partial<SendAlertDeps> = {}) =>
    runSendAlert({ ...depsOf(hub, sink, env, logged), ...over }, input);
  try {
    await test({ sql: db.sql, hub, databaseUrl: db.url, sink, logged, env, run });
  } finally {
    await hub.end({ timeout: 1 });
    await sink.close();
  }
}

function depsOf(sql: postgres.Sql, sink: Sink, env: Record<string, string>, logged: string[]): SendAlertDeps {
  return {
    sql,
    log: recordingLog(logged),
    clock: () => new Date(),
    config: { outgoingAllowedHosts: [new URL(sink.url).host], secret: (name) => env[name] },
    deadline: new Date(Date.now() + 60_000),
    random: () => 0.5,
    pause: () => Promise.resolve(),
  };
}

function recordingLog(lines: string[]): Log {
  const write = (event: string, fields: unknown) => void lines.push(JSON.stringify({ event, fields }));
  return { info: write, warn: write, error: write, with: () => recordingLog(lines) };
}

/** A row of `alert_config` for the sink's Discord. */
export async function addDiscord({ sql, sink }: Stage, over: Record<string, unknown> = {}): Promise<string> {
  const row = { channel: "discord", webhook_url: sink.discordWebhookUrl, ...over };
  const [config] = await sql<{ id: string }[]>`insert into alert_config ${sql(row)} returning id`;
  return config?.id ?? "";
}

/** A row of `alert_config` for the sink's Telegram. */
export async function addTelegram({ sql, sink }: Stage, over: Record<string, unknown> = {}): Promise<string> {
  const row = {
    channel: "telegram",
    bot_token: sink.telegramBotToken,
    chat_id: sink.telegramChatId,
    ...over,
  };
  const [config] = await sql<{ id: string }[]>`insert into alert_config ${sql(row)} returning id`;
  return config?.id ?? "";
}

let incidentsMade = 0;

/** An open incident of a job of its own. */
export async function addIncident({ sql }: Stage, over: Record<string, unknown> = {}): Promise<string> {
  const jobName = `job_${++incidentsMade}`;
  const job = {
    project_name: "smoothed",
    job_name: jobName,
    job_user: "postgres",
    schedule: "* * * * *",
    owner: "dana",
  };
  const [inventory] = await sql<{ id: string }[]>`insert into job_inventory ${sql(job)} returning id`;
  const row = {
    project_name: "smoothed",
    subject_kind: "job",
    subject_id: inventory?.id ?? "",
    code: "failed",
    severity: "important",
    summary: "the last run failed: ERROR: division by zero",
    job_inventory_id: inventory?.id ?? "",
    ...over,
  };
  const [incident] = await sql<{ id: string }[]>`insert into incidents ${sql(row)} returning id`;
  return incident?.id ?? "";
}

/** A delivery that is owed, `minutesAgo` old. */
export async function owe(
  { sql }: Stage,
  incidents: string[],
  { config, channel = "discord", event = "opened", minutesAgo = 0, state = "due", error = null }: {
    config: string | null;
    channel?: string | null;
    event?: string;
    minutesAgo?: number;
    state?: string;
    error?: string | null;
  },
): Promise<string> {
  const [delivery] = await sql<{ id: string }[]>`
    insert into alert_deliveries (alert_config_id, channel, event, state, last_error, created_at)
    values (${config}, ${channel}, ${event}, ${state}, ${error}, now() - make_interval(mins => ${minutesAgo}))
    returning id`;
  for (const incident of incidents) {
    await sql`insert into delivery_incidents (delivery_id, incident_id) values (${
      delivery?.id ?? ""
    }, ${incident})`;
  }
  return delivery?.id ?? "";
}

/** A delivery as stored. */
export interface DeliveryRow {
  state: string;
  attempts: number;
  last_error: string | null;
  provider_id: string | null;
  leased: boolean;
  waits_s: number;
  alert_config_id: string | null;
  rendered: { body: Record<string, unknown>; plain: string } | null;
}

/** Reads one delivery. */
export async function row({ sql }: Stage, id: string): Promise<DeliveryRow> {
  const [found] = await sql<DeliveryRow[]>`
    select state, attempts, last_error, provider_id, leased_until > now() as leased, alert_config_id, rendered,
           extract(epoch from next_attempt_at - now())::double precision as waits_s
    from alert_deliveries where id = ${id}`;
  assert.ok(found);
  return found;
}

/** Ends every wait for a retry. */
export async function makeDue({ sql }: Stage): Promise<void> {
  await sql`update alert_deliveries set next_attempt_at = now() where state = 'due'`;
}
