/**
 * README.md, docs/ALERTS.md and docs/DEPLOY.md, run as a reader would: their commands in a fresh copy of the checkout, their SQL on a
 * local hub, in the order in which they are written. What cannot be run says why in a comment, and is counted here.
 */
import assert from "node:assert/strict";
import { delimiter, dirname, join } from "node:path";
import postgres from "postgres";
import { applyMigrations } from "../../scripts/local/migrations.ts";
import { MIGRATIONS_DIR, REPOSITORY } from "../../scripts/local/repository.ts";
import { readStackInfo, type StackInfo } from "../../scripts/local/state.ts";
import { channels as CHANNELS } from "../../supabase/functions/_shared/channels/mod.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { readCronFacts } from "../../supabase/functions/_shared/sources/cron_facts.ts";
import { type Block, readBlocks } from "../support/markdown.ts";
import { type StackPlace, START_DEADLINE_MS, withStackPlace } from "../support/stack.ts";
import { waitFor } from "../support/wait_for.ts";

const START = "npx -y deno@2 task start";
const TEST = "npx -y deno@2 task test";

/** What the pages leave for their reader to fill in. */
type Fillings = readonly (readonly [written: string, meant: string])[];

/** Where a page's blocks are run. */
interface Surroundings {
  /** A copy of the checkout. */
  dir: string;
  env: Record<string, string>;
  sql: postgres.Sql;
  admin: postgres.Sql;
  fillings: Fillings;
}

async function readPage(name: string): Promise<Block[]> {
  return readBlocks(await Deno.readTextFile(join(REPOSITORY, name)));
}

/** What a clone would hold if everything here were committed. */
async function copyCheckout(target: string): Promise<void> {
  const listed = await new Deno.Command("git", {
    args: ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd: REPOSITORY,
  }).output();
  assert.equal(listed.success, true, "git lists the checkout's files");
  const names = new TextDecoder().decode(listed.stdout).split("\0").filter((name) => name !== "");
  for (const name of names) {
    await Deno.mkdir(dirname(join(target, name)), { recursive: true });
    await Deno.copyFile(join(REPOSITORY, name), join(target, name)).catch((error) => {
      // removed, and that not committed yet
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}

function shell(text: string, { dir, env }: Pick<Surroundings, "dir" | "env">): Deno.Command {
  return new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", text],
    cwd: dir,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs commands that must succeed, and answers what they printed. */
async function runShell(text: string, where: Pick<Surroundings, "dir" | "env">): Promise<string> {
  const { code, stdout, stderr } = await shell(text, where).output();
  const [printed, said] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${text}\n${said}${printed}`);
  return printed ?? "";
}

/** Runs statements one after the other; one that means to change something must. */
async function runSql(text: string, sql: postgres.Sql): Promise<void> {
  const answer: unknown = await sql.unsafe(text).simple();
  const results = (Array.isArray(answer) && Array.isArray(answer[0]) ? answer : [answer]) as postgres.RowList<
    postgres.Row[]
  >[];
  for (const { command, count } of results) {
    if (["INSERT", "UPDATE", "DELETE"].includes(command)) assert.notEqual(count, 0, `${command} in\n${text}`);
  }
}

/** Type-checks and runs a script that lies beside `scripts/`. */
async function runScript(text: string, { dir, env }: Surroundings): Promise<void> {
  await Deno.writeTextFile(join(dir, "example.ts"), text);
  await runShell("deno run --check -A example.ts", { dir, env });
}

/** Runs a block as its language says, and answers what a shell printed. */
async function runBlock(block: Block, where: Surroundings): Promise<string> {
  const text = where.fillings.reduce(
    (filled, [written, meant]) => filled.replaceAll(written, () => meant),
    block.text,
  );
  if (block.language === "bash") return await runShell(text, where);
  if (block.language === "sql") await runSql(text, block.asSuperuser === null ? where.sql : where.admin);
  else if (block.language === "ts") await runScript(text, where);
  else assert.equal(block.language, "text", `line ${block.line}: nobody knows how to run it`);
  return "";
}

/** Ends with the stack that the README's own command has started. */
async function withReadmeStack(
  place: StackPlace,
  where: Pick<Surroundings, "dir" | "env">,
  use: (info: StackInfo) => Promise<void>,
): Promise<void> {
  const child = shell(START, where).spawn();
  let printed = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) printed += decoder.decode(chunk, { stream: true });
  };
  const read = Promise.all([collect(child.stdout), collect(child.stderr)]);
  try {
    await waitFor(() => /Alerts appear here/.test(printed), {
      what: () => `the stack to be up; it printed:\n${printed}`,
      withinMs: START_DEADLINE_MS,
    });
    const info = await readStackInfo(place.rootDir);
    assert.ok(info);
    await use(info);
  } finally {
    await runShell("npx -y deno@2 task stop", where);
    await child.status;
    await read;
  }
}

function client(url: string): postgres.Sql {
  return postgres(url, { max: 1, onnotice: () => {} });
}

function blockWith(blocks: readonly Block[], text: string): Block {
  const found = blocks.filter((block) => block.text.includes(text));
  assert.equal(found.length, 1, `one block has "${text}"`);
  return found[0]!;
}

function databaseUrl({ projects }: StackInfo, name: string, role: "db_url" | "admin_db_url"): string {
  const project = projects.find((one) => one.name === name);
  assert.ok(project);
  return project[role];
}

Deno.test("every block of README.md, docs/ALERTS.md and docs/DEPLOY.md runs, or says why not", async (t) => {
  const readme = await readPage("README.md");
  const alerts = await readPage("docs/ALERTS.md");
  const deploy = await readPage("docs/DEPLOY.md");
  const notRun = (blocks: readonly Block[]) => blocks.filter(({ notRun }) => notRun !== null).length;
  for (const page of [readme, alerts, deploy]) {
    assert.ok(notRun(page) <= page.length / 2, "most blocks are run");
  }
  assert.equal(blockWith(readme, START).text, START);
  assert.match(await Deno.readTextFile(join(REPOSITORY, ".ci", "run")), new RegExp(`^exec ${TEST}$`, "m"));

  await withStackPlace(async (place) => {
    const dir = await Deno.makeTempDir({ prefix: "readme_test_" });
    await copyCheckout(dir);
    const bin = await Deno.makeTempDir({ prefix: "readme_test_" });
    await Deno.symlink(Deno.execPath(), join(bin, "deno"));
    const path = [bin, Deno.env.get("PATH") ?? ""].join(delimiter);
    const env = { ...place.env, STACK_ROOT_DIR: place.rootDir, PATH: path };
    try {
      await withReadmeStack(place, { dir, env }, async (info) => {
        await using sql = { client: client(info.hub_db_url), [Symbol.asyncDispose]: () => sql.client.end() };
        const where = { dir, env, sql: sql.client, admin: sql.client };
        await t.step("README.md", (t) => runReadme(t, readme, info, where));
        await t.step("docs/ALERTS.md", (t) => runAlerts(t, alerts, where));
        await t.step("docs/DEPLOY.md", (t) => runDeploy(t, deploy, info, where));
      });
    } finally {
      await Deno.remove(dir, { recursive: true });
      await Deno.remove(bin, { recursive: true });
    }
  });
});

async function runReadme(
  t: Deno.TestContext,
  blocks: readonly Block[],
  info: StackInfo,
  around: Omit<Surroundings, "fillings">,
): Promise<void> {
  const { sql } = around;
  const where = {
    ...around,
    env: { ...around.env, SUPABASE_URL: info.gateway_url, MONITOR_SECRET_KEY: info.secret_key },
    fillings: [[
      "postgresql://postgres.abcdefghijklmnopqrst:PASSWORD@HOST:5432/postgres",
      databaseUrl(info, "smoothed", "db_url"),
    ]] as const,
  };
  const openIncident = async () => {
    const [row] = await sql<{ id: string }[]>`
      select id from public.incidents
      where project_name = 'blingsting' and code = 'failed' and resolved_at is null`;
    return row?.id;
  };
  for (const block of blocks) {
    if (block.notRun !== null || block.language === "text" || [START, TEST].includes(block.text)) continue;
    await t.step(`line ${block.line}`, async () => {
      const before = await openIncident();
      const printed = await runBlock(block, where);
      const calls = block.text.match(/^curl/gm)?.length ?? 0;
      assert.equal(printed.match(/"ok":true/g)?.length ?? 0, calls, printed);
      if (block.text.includes("newsletter --")) {
        assert.match(printed, /newsletter +✓ can be read/);
      }
      if (block.text.includes("disable_schedules")) {
        const checked = await runShell("deno task monitor check", where);
        assert.match(checked, /^newsletter/m);
        assert.doesNotMatch(checked, /^scraping/m, "it is left alone");
        const reopened = await openIncident();
        assert.ok(before !== undefined && reopened !== undefined && reopened !== before);
        await expectSilence(sql, reopened);
      }
    });
  }
}

/** What an emergency leaves: nothing fires, nothing is sent. */
async function expectSilence(sql: postgres.Sql, incident: string): Promise<void> {
  assert.equal(
    (await sql`
      select from cron.job where jobname in (select job_name from monitoring.schedules)`).length,
    0,
  );
  const states = await sql<{ state: string }[]>`
    select d.state from public.alert_deliveries d
    join public.delivery_incidents t on t.delivery_id = d.id where t.incident_id = ${incident}`;
  assert.deepEqual(states.map(({ state }) => state), ["unroutable"]);
}

/** The page's ids are those of the day; its doctor finds what this hub lacks, and ends with 1. */
async function runAlerts(
  t: Deno.TestContext,
  blocks: readonly Block[],
  around: Omit<Surroundings, "fillings">,
): Promise<void> {
  const { sql } = around;
  for (const block of blocks) {
    if (block.notRun !== null || block.language === "text") continue;
    await t.step(`line ${block.line}`, async () => {
      const [incident] = await sql<{ id: string }[]>`
        select id from public.incidents where project_name = 'blingsting' and code = 'failed'
        order by opened_at desc limit 1`;
      const fillings = [
        ["monitor doctor", "monitor doctor || [ $? = 1 ]"],
        ["5f2c19aa", incident?.id.slice(0, 8) ?? ""],
        ["unsilence 3f9a12cd", UNSILENCE],
      ] as const;
      const printed = await runBlock(block, { ...around, fillings });
      if (block.text.includes("monitor doctor")) assert.match(printed, /✓ All \d+ migrations are applied/);
      if (block.text.includes("monitor ack")) {
        assert.match(printed, /✓ Acknowledged: failed: .*\n✓ A false alarm: .*\n✓ Closed: /);
      }
      if (block.text.includes("unsilence")) {
        assert.match(printed, /✓ Ended: sync_\* in smoothed: migrating leads/);
      }
    });
  }
  const channels = await sql<
    { channel: string }[]
  >`select distinct channel from public.alert_config order by 1`;
  assert.deepEqual(
    channels.map(({ channel }) => channel),
    Object.keys(CHANNELS).sort(),
    "each has its block",
  );
}

/** The first silence that the command line lists, as a person reads it off the screen. */
const UNSILENCE = `unsilence "$(npx -y deno@2 task monitor silences | grep 'migrating leads' | cut -c 1-8)"`;

async function runDeploy(
  t: Deno.TestContext,
  blocks: readonly Block[],
  info: StackInfo,
  around: Omit<Surroundings, "fillings">,
): Promise<void> {
  const { sql } = around;
  const removal = blockWith(blocks, "drop schema monitoring cascade");
  const push = () => applyMigrations({ dbUrl: info.hub_db_url, dir: MIGRATIONS_DIR, report: () => {} });
  const migrations = (await Array.fromAsync(Deno.readDir(MIGRATIONS_DIR))).map(({ name }) =>
    name.slice(0, 14)
  );
  await t.step("removing everything leaves nothing that a new push would meet", async () => {
    await runSql(removal.text, sql);
    assert.deepEqual((await push()).applied, migrations.sort());
  });

  const admin = client(databaseUrl(info, "smoothed", "admin_db_url"));
  const password = crypto.randomUUID();
  const role = new URL(databaseUrl(info, "smoothed", "db_url"));
  [role.username, role.password] = ["job_monitor", password];
  const where = {
    ...around,
    admin,
    // as from a machine where no stack is up
    env: {
      ...around.env,
      STACK_ROOT_DIR: around.dir,
      SUPABASE_URL: info.gateway_url,
      MONITOR_SECRET_KEY: info.secret_key,
      SUPABASE_DB_URL: info.hub_db_url,
    },
    fillings: [
      ["https://<ref>.supabase.co", info.gateway_url],
      ["sb_secret_… (default)", info.secret_key],
      ["sb_secret_… (monitor)", info.secret_key],
      ["sb_secret_…", info.secret_key],
      ["<long and random>", password],
      ["<Postgres URL of the project>", info.hub_db_url],
    ] as const,
  };
  try {
    for (const block of blocks) {
      if (block.notRun !== null) continue;
      await t.step(`line ${block.line}`, async () => {
        await runBlock(block, where);
        if (block.text.includes("create role")) await expectRole(role.href, admin);
      });
    }
  } finally {
    await admin.end();
  }
  assert.deepEqual([...await sql`select from pg_class where relnamespace = 'public'::regnamespace`], []);
}

/** What DEPLOY.md says that the role of its own may do, and what not. */
async function expectRole(url: string, admin: postgres.Sql): Promise<void> {
  const look = () =>
    readCronFacts(
      { name: "smoothed", ref: null, databaseUrl: url },
      { cursor: null, openRunIds: [] },
      { caCert: null, connectTimeoutSeconds: 5 },
    );
  const facts = await look();
  assert.equal(facts.jobs.length > 0 && facts.runs.length > 0, true);
  assert.deepEqual([facts.launcherAlive, facts.settings.maxRunningJobs], [true, 32]);

  await admin`create table public.orders ()`;
  const asRole = client(url);
  try {
    await assert.rejects(asRole`select from public.orders`, { code: "42501" });
    await assert.rejects(asRole`delete from cron.job_run_details`, { code: "25006" });
    await asRole.begin(async (transaction) => {
      await transaction`set transaction read write`;
      assert.notEqual((await transaction`delete from cron.job_run_details`).count, 0);
      await transaction`select cron.schedule('own', '* * * * *', 'select 1')`;
      await transaction`rollback`;
    });
  } finally {
    await asRole.end();
    await admin`drop table public.orders`;
  }

  await admin`revoke pg_monitor from job_monitor`;
  assert.deepEqual([(await look()).launcherAlive, (await look()).settings.maxRunningJobs], [null, null]);
  await admin`alter role job_monitor nobypassrls`;
  await assert.rejects(look(), (error) => error instanceof AppError && error.code === "no_privilege");
}
