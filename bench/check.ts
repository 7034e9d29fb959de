/**
 * What a check costs, as ratios of things that are measured side by side in one run:
 * `deno task bench`, or `deno run -A bench/check.ts history|seeds|process` for a part of it.
 */
import { openDatabase } from "../supabase/functions/_shared/database.ts";
import type { HubKnowledge } from "../supabase/functions/_shared/domain/hub.ts";
import { evaluateProject } from "../supabase/functions/_shared/rules/evaluate.ts";
import { readCronFacts, type ReadFrom } from "../supabase/functions/_shared/sources/cron_facts.ts";
import { afterwards, knowledge as nothingKnown } from "../tests/support/facts.ts";
import { startTestCluster, type TestDatabase, testDatabase } from "../tests/support/postgres.ts";
import { countBytes } from "./count_bytes.ts";
import { addNewRuns, fillHistory, type History, JOBS, newRuns } from "./history.ts";

const CONNECT = { caCert: null, connectTimeoutSeconds: 10 };
const SMALL = 10_000;
const LARGE = 2_000_000;
const HUGE = 5_000_000;
const ROUNDS = 25;
const SEED_ROUNDS = 5;
/** For caches and the compiler. */
const WARM_UP_ROUNDS = 3;
const PARTS = ["history", "seeds", "process"] as const;

/** A project with a long history, and what the hub knew of it 15 minutes ago. */
interface FilledProject extends AsyncDisposable {
  history: History;
  db: TestDatabase;
  known: HubKnowledge;
}

async function filledProject(history: History): Promise<FilledProject> {
  say(`  filling ${count(history.rows)} rows …`);
  const db = await testDatabase("project");
  await fillHistory(db, history);
  const before = nothingKnown();
  const known = afterwards(before, await look(db.url, before));
  await addNewRuns(db, history);
  return { history, db, known, [Symbol.asyncDispose]: () => db[Symbol.asyncDispose]() };
}

/** One check without the hub: read and evaluate. */
async function look(databaseUrl: string, known: HubKnowledge) {
  const project = { name: "smoothed", databaseUrl, ref: null };
  const from: ReadFrom = { cursor: known.runCursor, openRunIds: known.openRuns.map(({ runId }) => runId) };
  const facts = await readCronFacts(project, from, CONNECT);
  return evaluateProject(project, facts, known, Date.now(), () => crypto.randomUUID());
}

async function steadyCheck({ history, db, known }: FilledProject, databaseUrl = db.url): Promise<void> {
  const { observations, jobs } = await look(databaseUrl, known);
  const runs = observations.runs?.length;
  if (jobs.length !== JOBS || runs !== newRuns(history)) {
    throw new Error(`Read ${runs} runs of ${jobs.length} jobs`);
  }
}

/** Connect, the smallest question about runs, close. */
async function floor(databaseUrl: string): Promise<void> {
  await withDatabase(
    databaseUrl,
    (sql) => sql.unsafe("select max(runid) from cron.job_run_details").simple(),
  );
}

/** The plan that the seeds describe: all rows of 7 days, newest first, grouped by job in memory. */
async function seedsPlan(databaseUrl: string): Promise<void> {
  await withDatabase(databaseUrl, async (sql) => {
    const rows = await sql<{ jobid: string }[]>`
      select jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time
      from cron.job_run_details where start_time > now() - interval '7 days' order by start_time desc`;
    const byJob = Map.groupBy(rows, ({ jobid }) => jobid);
    if (byJob.size !== JOBS) throw new Error(`Read ${byJob.size} jobs`);
  });
}

async function withDatabase(
  databaseUrl: string,
  use: (sql: ReturnType<typeof openDatabase>) => Promise<unknown>,
): Promise<void> {
  const sql = openDatabase(databaseUrl, { ...CONNECT, applicationName: "bench", tls: "always" });
  try {
    await use(sql);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

/** Milliseconds that pieces of work took, round by round. */
type Times = ReadonlyMap<string, number[]>;

/** Measures in turns, so that what disturbs one piece of work disturbs all. */
async function sideBySide(rounds: number, work: ReadonlyMap<string, () => Promise<void>>): Promise<Times> {
  const times = new Map([...work.keys()].map((name) => [name, [] as number[]]));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const [name, run] of work) {
      const began = performance.now();
      await run();
      if (round >= 0) times.get(name)?.push(performance.now() - began);
    }
  }
  return times;
}

/** The usual quotient within a round, which says more than a quotient of what was usual. */
function ratio(times: Times, a: string, b: string): number {
  const others = times.get(b) ?? [];
  return median((times.get(a) ?? []).map((time, round) => time / (others[round] ?? NaN)));
}

function usual(times: Times, name: string): number {
  return median(times.get(name) ?? []);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? NaN;
}

async function benchHistory(projects: readonly FilledProject[]): Promise<void> {
  const [small, ...longer] = projects;
  if (small === undefined) return;
  const runs = newRuns(small.history);
  say(
    `\nOne check of ${JOBS} jobs with ${runs} new runs, read and evaluated (medians of ${ROUNDS}, in turns)`,
  );
  const rowsOf = ({ history }: FilledProject) => count(history.rows);
  const times = await sideBySide(
    ROUNDS,
    new Map(projects.flatMap((project) => [
      [`check at ${rowsOf(project)}`, () => steadyCheck(project)],
      [`floor at ${rowsOf(project)}`, () => floor(project.db.url)],
    ])),
  );
  const bytes = new Map<FilledProject, number>();
  for (const project of projects) {
    const rows = rowsOf(project);
    const received = await bytesOf(project.db.url, (url) => steadyCheck(project, url));
    bytes.set(project, received);
    const [check, least] = [usual(times, `check at ${rows}`), usual(times, `floor at ${rows}`)];
    say(`  ${rows.padStart(9)} rows: ${ms(check)}, ${count(received)} bytes; floor ${ms(least)}`);
  }
  for (const project of longer) {
    const [rows, few] = [rowsOf(project), rowsOf(small)];
    target(
      `time, ${rows} rows against ${few}`,
      ratio(times, `check at ${rows}`, `check at ${few}`),
      "at most",
      1.2,
    );
    const moreBytes = (bytes.get(project) ?? NaN) / (bytes.get(small) ?? NaN);
    target(`bytes, ${rows} rows against ${few}`, moreBytes, "at most", 1.2);
  }
  for (const rows of projects.map(rowsOf)) {
    target(
      `time at ${rows} rows against the floor`,
      ratio(times, `check at ${rows}`, `floor at ${rows}`),
      "at most",
      2,
    );
  }
}

/** The plan reads 7 days: how much that is of so many rows depends on how often the jobs run. */
async function benchSeeds(history: History): Promise<void> {
  await using project = await filledProject(history);
  const { db } = project;
  const { rows, everyMinutes } = history;
  const days = Math.round(rows * everyMinutes / JOBS / 1440);
  say(
    `\nThe seeds' own plan at ${
      count(rows)
    } rows: ${days} days of ${JOBS} jobs that run every ${everyMinutes} min`,
  );
  const times = await sideBySide(
    SEED_ROUNDS,
    new Map([
      ["ours", () => steadyCheck(project)],
      ["seeds", () => seedsPlan(db.url)],
      ["floor", () => floor(db.url)],
    ]),
  );
  const ours = await bytesOf(db.url, (url) => steadyCheck(project, url));
  const seeds = await bytesOf(db.url, seedsPlan);
  say(`  ours ${ms(usual(times, "ours"))}, ${count(ours)} bytes; floor ${ms(usual(times, "floor"))}`);
  say(`  seeds ${ms(usual(times, "seeds"))}, ${count(seeds)} bytes`);
  const faster = ratio(times, "seeds", "ours");
  const most = ratio(times, "seeds", "floor");
  if (most >= 50) target("time, the seeds' plan against ours", faster, "at least", 50);
  else {say(
      `         time, the seeds' plan against ours: ${faster.toFixed(2)}; connecting alone leaves ${
        most.toFixed(2)
      }`,
    );}
}

async function bytesOf(databaseUrl: string, work: (url: string) => Promise<void>): Promise<number> {
  await using counted = countBytes(databaseUrl);
  await work(counted.url);
  return counted.take();
}

async function benchProcess(): Promise<void> {
  say(`\nOne check of 4 projects × ${JOBS} jobs, recorded in a real hub, in a process of its own`);
  const names = ["smoothed", "scraping", "crm", "reports"];
  const history = { rows: SMALL, everyMinutes: 5 };
  await using disposables = new AsyncDisposableStack();
  const hub = disposables.use(await testDatabase("hub"));
  await hub.sql`insert into monitored_projects (name, enabled) values ('thordata', false)`;
  await hub
    .sql`insert into alert_config (channel, webhook_url) values ('discord', 'env:DISCORD_WEBHOOK_URL')`;
  const projects: TestDatabase[] = [];
  for (const _ of names) projects.push(disposables.use(await testDatabase("project")));
  for (const db of projects) await fillHistory(db, history);
  const env = {
    SUPABASE_DB_URL: hub.url,
    ...Object.fromEntries(
      names.map((name, i) => [`${name.toUpperCase()}_SUPABASE_POSTGRES_URL`, projects[i]?.url ?? ""]),
    ),
  };
  const idle = await oneProcess(env, ["--idle"]);
  say(`  nothing but loading: ${usage(idle)}`);
  const first = await oneProcess(env, []);
  say(`  the first check, 1,000 runs of each project: ${usage(first)}`);
  for (const db of projects) await addNewRuns(db, history);
  const next = await oneProcess(env, []);
  say(`  the next one, ${newRuns(history)} new runs of each: ${usage(next)}`);
  for (const [name, { cpuMs, peakMb }] of [["first", first], ["next", next]] as const) {
    target(`seconds of CPU, ${name} check`, cpuMs / 1000, "at most", 0.3);
    target(`MB at the peak, ${name} check`, peakMb, "at most", 100);
  }
}

interface Usage {
  jobs: number;
  cpuMs: number;
  peakMb: number;
}

async function oneProcess(env: Record<string, string>, args: string[]): Promise<Usage> {
  const file = new URL("one_check.ts", import.meta.url).href;
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", file, ...args],
    env,
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("The process that was to be measured failed");
  return JSON.parse(new TextDecoder().decode(stdout));
}

function usage({ jobs, cpuMs, peakMb }: Usage): string {
  return `${jobs} jobs, ${(cpuMs / 1000).toFixed(2)} s of CPU, ${peakMb.toFixed(0)} MB`;
}

function target(name: string, value: number, limit: "at most" | "at least", wanted: number): void {
  const met = limit === "at most" ? value <= wanted : value >= wanted;
  say(`  ${met ? "met   " : "MISSED"} ${name}: ${value.toFixed(2)} (${limit} ${wanted})`);
}

function count(number: number): string {
  return number.toLocaleString("en");
}

function ms(duration: number): string {
  return `${duration.toFixed(1)} ms`;
}

function say(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}

async function main(): Promise<void> {
  const unknown = Deno.args.filter((arg) => !PARTS.some((part) => part === arg));
  if (unknown.length > 0) throw new Error(`Unknown part "${unknown[0]}"; there are: ${PARTS.join(", ")}`);
  const wanted = (part: typeof PARTS[number]) => Deno.args.length === 0 || Deno.args.includes(part);
  const { stop } = await startTestCluster(say);
  try {
    if (wanted("process")) await benchProcess();
    if (wanted("history")) {
      await using projects = new AsyncDisposableStack();
      const filled: FilledProject[] = [];
      for (const rows of [SMALL, LARGE, HUGE]) {
        filled.push(projects.use(await filledProject({ rows, everyMinutes: 5 })));
      }
      await benchHistory(filled);
    }
    if (wanted("seeds")) {
      for (const everyMinutes of [1, 5]) await benchSeeds({ rows: LARGE, everyMinutes });
    }
  } finally {
    await stop();
  }
}

await main();
