/**
 * What it takes to send 1,000 alerts that are due: `deno run -A bench/deliveries.ts`. An edge function has 2 seconds of
 * CPU a request, so a run has to stop in time, and the next one goes on.
 */
import { channels } from "../supabase/functions/_shared/channels/mod.ts";
import type { ChannelName } from "../supabase/functions/_shared/domain/delivery.ts";
import { type Sink, startSink } from "../tests/fakes/sink.ts";
import { startTestCluster, type TestDatabase, testDatabase } from "../tests/support/postgres.ts";
import { addTarget } from "../tests/support/targets.ts";

const DUE = 1_000;
const ROWS_A_CHANNEL = 5;
/** What hosted Supabase gives a request. */
const CPU_LIMIT_MS = 2_000;
/** A run takes at most this part of it: machines differ. */
const MARGIN = 3;
const NAMES = Object.keys(channels) as ChannelName[];

interface Usage {
  sent: number;
  left: number;
  cpuMs: number;
  wallMs: number;
  peakMb: number;
}

/** How big the alerts are that wait. */
interface Load {
  name: string;
  deliveries: number;
  /** Told of in each. */
  incidents: number;
  /** Of each job's own error. */
  errorBytes: number;
}

const LOADS: readonly Load[] = [
  { name: `${DUE} alerts of one job each`, deliveries: DUE, incidents: 1, errorBytes: 300 },
  { name: `${DUE} with errors of 20 kB`, deliveries: DUE, incidents: 1, errorBytes: 20_000 },
  { name: "120 of 170 jobs each", deliveries: 120, incidents: 170, errorBytes: 300 },
];

async function main(): Promise<void> {
  const { stop } = await startTestCluster(say);
  try {
    let hours = 0;
    const sink = await startSink({ now: () => Date.UTC(2026, 10, 21) + 3_600_000 * hours++ });
    const idle = await dispatch({}, ["--idle"]);
    say(`Loading alone: ${ms(idle.cpuMs)} of CPU, ${idle.peakMb.toFixed(0)} MB`);
    for (const load of LOADS) await measure(load, sink, idle);
    await measureTick(sink);
    await sink.close();
  } finally {
    await stop();
  }
}

async function measure(load: Load, sink: Sink, idle: Usage): Promise<void> {
  say(`\n${load.name}`);
  for (const unlimited of [true, false]) {
    await using hub = await testDatabase("hub");
    const env = await addRows(hub, sink);
    await fill(hub, load);
    if (unlimited) {
      const all = await dispatch(env, ["--without-limit"]);
      const each = (all.cpuMs - idle.cpuMs) / all.sent;
      say(
        `  all in one run: ${usage(all)}; ${each.toFixed(2)} ms of CPU each, ${
          (all.sent / all.wallMs * 1000).toFixed(0)
        } a second`,
      );
      continue;
    }
    let runs = 0;
    let most = 0;
    for (let left = 1; left > 0 && runs < 100; runs++) {
      const run = await dispatch(env, []);
      ({ left } = run);
      most = Math.max(most, run.cpuMs);
      if (runs === 0) say(`  a run as it is: ${usage(run)}, ${left} left to the next`);
    }
    const [rest] = await hub.sql`select count(*)::int as due from alert_deliveries where state = 'due'`;
    say(`  ${runs} runs until nothing is due (${rest?.due} are)`);
    target("CPU of the longest run", most);
  }
}

/** Nothing is due, but the policy has much to look at. */
async function measureTick(sink: Sink): Promise<void> {
  await using hub = await testDatabase("hub");
  const env = await addRows(hub, sink);
  await fill(hub, { name: "", deliveries: 5_000, incidents: 1, errorBytes: 300 });
  await hub
    .sql`update alert_deliveries set state = 'sent', sent_at = now(), admitted_at = now() - interval '1 hour'`;
  const run = await dispatch(env, []);
  say(`\nA tick over 5,000 open incidents, of which nothing is owed: ${usage(run)}`);
  target("CPU of the tick", run.cpuMs);
}

/** Rows for every channel; answers the environment that they refer to. */
async function addRows(hub: TestDatabase, sink: Sink): Promise<Record<string, string>> {
  const env = { SUPABASE_DB_URL: hub.url, OUTGOING_ALLOWED_HOSTS: new URL(sink.url).host };
  for (let row = 0; row < ROWS_A_CHANNEL; row++) {
    for (const name of NAMES) await addTarget({ sql: hub.sql, sink, env }, name);
  }
  return env;
}

function target(what: string, cpuMs: number): void {
  const limit = CPU_LIMIT_MS / MARGIN;
  say(`  ${cpuMs <= limit ? "met   " : "MISSED"} ${what}: ${ms(cpuMs)} (at most ${ms(limit)})`);
}

/** Deliveries that the policy let through, evenly over the rows of `alert_config`. */
async function fill(hub: TestDatabase, { deliveries, incidents, errorBytes }: Load): Promise<void> {
  const detail = {
    expectedAt: "2026-11-21T12:45:00Z",
    lastRunAt: "2026-11-21T12:45:00Z",
    lastSuccessAt: "2026-11-21T12:30:01Z",
    errorMessage: "ERROR:  value too long for type character varying(10)\n".repeat(errorBytes / 54),
    recentRuns: Array.from({ length: 10 }, (_, runId) => ({
      ...{ runId, status: runId < 9 ? "success" : "failed", startedAt: null, endedAt: null },
    })),
  };
  await hub.sql`
    with job as (
      insert into job_inventory (project_name, job_name, job_user, schedule, owner)
      select 'project_' || n % 20, 'sync_customer_' || n, 'postgres', '*/15 * * * *', 'dana@acme.com'
      from generate_series(1, ${Math.max(deliveries, incidents)}::int) as n returning id, project_name
    )
    insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, detail, job_inventory_id)
    select project_name, 'job', id::text, 'failed', 'important', 'the last run failed: ERROR: value too long',
           ${JSON.stringify(detail)}::text::jsonb, id
    from job`;
  await hub.sql`
    with target as (
      select id, channel, row_number() over (order by id) as place, count(*) over () as many from alert_config
    ), delivery as (
      insert into alert_deliveries (alert_config_id, channel, event)
      select id, channel, 'opened' from generate_series(1, ${deliveries}::int) as n
      join target on target.place = n % target.many + 1
      returning id
    ), numbered as (
      select id, row_number() over () as n from delivery
    ), incident as (
      select id, row_number() over () as n from incidents
    )
    insert into delivery_incidents (delivery_id, incident_id)
    select numbered.id, incident.id from numbered
    join incident on case when ${incidents}::int = 1 then incident.n = numbered.n else incident.n <= ${incidents}::int end`;
  await hub.sql`analyze`;
}

async function dispatch(env: Record<string, string>, args: string[]): Promise<Usage> {
  const file = new URL("one_dispatch.ts", import.meta.url).href;
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    // the memory that the hosted runtime gives
    args: ["run", "-A", "--no-check", "--v8-flags=--max-old-space-size=256", file, ...args],
    env,
    stderr: "null",
  }).output();
  if (!success) throw new Error("The process that was to be measured failed");
  return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1) ?? "");
}

function usage({ sent, cpuMs, wallMs, peakMb }: Usage): string {
  return `${sent} sent in ${(wallMs / 1000).toFixed(1)} s, ${ms(cpuMs)} of CPU, ${peakMb.toFixed(0)} MB`;
}

function ms(duration: number): string {
  return `${duration.toFixed(0)} ms`;
}

function say(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}

await main();
