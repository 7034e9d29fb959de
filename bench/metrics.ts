/**
 * What a collection of 200 metrics over 4 projects costs: CPU and memory of a process of its own beside one that only
 * loads, and the connections that each project saw. `deno run -A bench/metrics.ts`
 */
import { startTestCluster, type TestDatabase, testDatabase } from "../tests/support/postgres.ts";
import { waitFor } from "../tests/support/wait_for.ts";

const PROJECTS = ["smoothed", "scraping", "crm", "reports"];
const METRICS = 50;
const ROUNDS = 5;

interface Usage {
  numbers: number;
  cpuMs: number;
  peakMb: number;
  tookMs: number;
}

async function main(): Promise<void> {
  const { stop } = await startTestCluster(say);
  try {
    await using disposables = new AsyncDisposableStack();
    const hub = disposables.use(await testDatabase("hub"));
    await define(hub);
    const projects: TestDatabase[] = [];
    for (const _ of PROJECTS) projects.push(disposables.use(await testDatabase("project")));
    for (const { sql } of projects) {
      await sql`create table orders as
        select g as id, case when g % 3 = 0 then 'paid' else 'open' end as status, now() - make_interval(mins => g) as created_at
        from generate_series(1, 20000) as g`;
    }
    await measure(hub, projects);
  } finally {
    await stop();
  }
}

/** Four of five answer one number, the fifth rows; every one has thresholds. */
async function define(hub: TestDatabase): Promise<void> {
  await hub.sql`insert into monitored_projects (name, enabled) values ('thordata', false)`;
  await hub
    .sql`insert into alert_config (channel, webhook_url) values ('discord', 'env:DISCORD_WEBHOOK_URL')`;
  await hub.sql`update metric_definitions set enabled = false`;
  await hub.sql`
    insert into metric_definitions (name, query, warning, critical, needs)
    select 'bench_' || n,
           case when n % 5 = 0
             then 'select status, count(*) from public.orders where id <= ' || 100 * n || ' group by status'
             else 'select count(*) from public.orders where id <= ' || 100 * n end,
           100 * n, 200 * n, 'public.orders'
    from generate_series(1, ${METRICS}::integer) as n`;
}

async function measure(hub: TestDatabase, projects: readonly TestDatabase[]): Promise<void> {
  const env = {
    SUPABASE_DB_URL: hub.url,
    ...Object.fromEntries(
      PROJECTS.map((name, i) => [`${name.toUpperCase()}_SUPABASE_POSTGRES_URL`, projects[i]?.url ?? ""]),
    ),
  };
  say(
    `\n${METRICS} metrics of each of ${PROJECTS.length} projects, recorded in a real hub, in a process of its own`,
  );
  const idle: Usage[] = [];
  const whole: Usage[] = [];
  let most = 0;
  for (let round = 0; round < ROUNDS; round++) {
    idle.push(await oneProcess(env, ["--idle"]));
    // every metric is due again
    await hub.sql`update metric_collections set asked_at = asked_at - interval '1 hour'`;
    const before = await Promise.all(projects.map(sessions));
    whole.push(await oneProcess(env, []));
    for (const [index, project] of projects.entries()) {
      const seen = before[index] ?? 0;
      await waitFor(async () => await sessions(project) > seen, {
        what: "the session to be counted",
        withinMs: 10_000,
      });
      most = Math.max(most, await sessions(project) - seen);
    }
  }
  const cpu = (usages: Usage[]) => median(usages.map(({ cpuMs }) => cpuMs)) / 1000;
  const [collected] = whole;
  say(`  nothing but loading: ${cpu(idle).toFixed(2)} s of CPU`);
  say(
    `  a collection, ${collected?.numbers} numbers: ${cpu(whole).toFixed(2)} s of CPU with loading, ` +
      `${(cpu(whole) - cpu(idle)).toFixed(2)} s without; ${
        median(whole.map(({ tookMs }) => tookMs)).toFixed(0)
      } ms`,
  );
  target("seconds of CPU, with loading", cpu(whole), 1);
  target("connections to a project in a collection", most, 1);
  target("MB at the peak", Math.max(...whole.map(({ peakMb }) => peakMb)), 150);
}

/** Connections that the server has seen to a database, ever. */
async function sessions({ name, admin }: TestDatabase): Promise<number> {
  const [row] = await admin`select sessions::integer from pg_stat_database where datname = ${name}`;
  return row?.sessions ?? 0;
}

async function oneProcess(env: Record<string, string>, args: string[]): Promise<Usage> {
  const file = new URL("one_collection.ts", import.meta.url).href;
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", file, ...args],
    env,
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("The process that was to be measured failed");
  return JSON.parse(new TextDecoder().decode(stdout));
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN;
}

function target(name: string, value: number, limit: number): void {
  say(`  ${value <= limit ? "met   " : "MISSED"} ${name}: ${value.toFixed(2)} (at most ${limit})`);
}

function say(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}

await main();
