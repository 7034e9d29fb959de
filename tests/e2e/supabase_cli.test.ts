/**
 * The real Supabase CLI on real databases: it applies our migrations, and agrees with the local stack on what is applied.
 */
import assert from "node:assert/strict";
import { basename, join } from "node:path";
import type postgres from "postgres";
import { z } from "zod";
import { hubStandInsSql } from "../../scripts/local/hub_stand_ins.ts";
import { applyMigrations } from "../../scripts/local/migrations.ts";
import { CONFIG_TOML, MIGRATIONS_DIR } from "../../scripts/local/repository.ts";
import { npx } from "../support/npx.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

/** As npm names it. */
const CLI = "supabase@3.1.0";

/** A folder with what the CLI reads of this project, so that it writes nothing into the checkout. */
interface Project extends AsyncDisposable {
  dir: string;
  /** Names of the files, in order. */
  migrations: string[];
}

async function copyProject(): Promise<Project> {
  const dir = await Deno.makeTempDir({ prefix: "supabase_cli_test_" });
  const folder = join(dir, "supabase", "migrations");
  await Deno.mkdir(folder, { recursive: true });
  await Deno.copyFile(CONFIG_TOML, join(dir, "supabase", basename(CONFIG_TOML)));
  const migrations = (await Array.fromAsync(Deno.readDir(MIGRATIONS_DIR))).map(({ name }) => name).sort();
  for (const name of migrations) await Deno.copyFile(join(MIGRATIONS_DIR, name), join(folder, name));
  return { dir, migrations, [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }) };
}

/** A hub as Supabase gives it: roles, pg_cron, Vault and pg_net, and nothing of ours. */
async function emptyHub(): Promise<TestDatabase> {
  const db = await testDatabase("project");
  await db.admin.unsafe(await hubStandInsSql());
  return db;
}

/** Runs the CLI, and answers what it printed. */
function supabase({ dir }: Project, args: string[]): Promise<string> {
  // without these it calls home
  const quiet = { DO_NOT_TRACK: "1", SUPABASE_NO_UPDATE_NOTIFIER: "1", SUPABASE_HOME: join(dir, "home") };
  return npx(CLI, args, { cwd: dir, env: quiet });
}

/** Runs a command on a database, and answers its JSON. */
async function onDatabase(project: Project, db: TestDatabase, ...command: string[]): Promise<unknown> {
  return JSON.parse(await supabase(project, [...command, `--remote=${db.url}`, "--output-format", "json"]));
}

const pushed = z.object({ upToDate: z.boolean(), migrations: z.array(z.string()) });

async function push(project: Project, db: TestDatabase): Promise<z.infer<typeof pushed>> {
  return pushed.parse(await onDatabase(project, db, "db", "push", "--yes"));
}

const listed = z.object({
  migrations: z.array(z.object({ local: z.string(), remote: z.string() })),
});

async function list(project: Project, db: TestDatabase): Promise<z.infer<typeof listed>["migrations"]> {
  return listed.parse(await onDatabase(project, db, "migration", "list")).migrations;
}

function recorded(sql: postgres.Sql): Promise<unknown[]> {
  return plain(sql`select * from supabase_migrations.schema_migrations order by version`);
}

/** Everything that the migrations make, as Postgres describes it; but for partitions, whose names are dates. */
function madeThings(sql: postgres.Sql): Promise<unknown[]> {
  return plain(sql`
    with schemas as (select oid from pg_namespace where nspname in ('public', 'monitoring')),
    relations as (select * from pg_class where relnamespace in (select oid from schemas) and not relispartition)
    select 'relation' as kind, r.oid::regclass::text as name, r.relacl::text as detail from relations r
    union all
    select 'column', a.attrelid::regclass || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
      from relations r join pg_attribute a on a.attrelid = r.oid where a.attnum > 0
    union all
    select 'constraint', c.conrelid::regclass || ' ' || c.conname, pg_get_constraintdef(c.oid)
      from relations r join pg_constraint c on c.conrelid = r.oid
    union all
    select 'trigger', t.tgrelid::regclass || ' ' || t.tgname, pg_get_triggerdef(t.oid)
      from relations r join pg_trigger t on t.tgrelid = r.oid where not t.tgisinternal
    union all
    select 'function', p.oid::regprocedure::text, concat(p.proacl, pg_get_functiondef(p.oid))
      from pg_proc p where p.pronamespace in (select oid from schemas)
    order by 1, 2, 3`);
}

async function plain(rows: PromiseLike<readonly postgres.Row[]>): Promise<unknown[]> {
  return (await rows).map((row) => ({ ...row }));
}

Deno.test("the Supabase CLI and the local stack migrate a hub alike", async (t) => {
  await using project = await copyProject();
  // first of all, since without the CLI there is nothing to test
  await supabase(project, ["--version"]);
  await using byCli = await emptyHub();
  await using byStack = await emptyHub();
  const versions = project.migrations.map((name) => name.slice(0, 14));
  const start = (db: TestDatabase) =>
    applyMigrations({ dbUrl: db.url, dir: MIGRATIONS_DIR, report: () => {} });

  await t.step("`supabase db push` on an empty hub applies every migration", async () => {
    assert.deepEqual((await list(project, byCli)).filter(({ remote }) => remote !== ""), []);
    assert.deepEqual(await push(project, byCli), { upToDate: false, migrations: project.migrations });
  });

  await t.step("it makes the same things and records the same rows as `task start`", async () => {
    assert.deepEqual(await start(byStack), { applied: versions, already: [] });
    assert.deepEqual(await madeThings(byCli.sql), await madeThings(byStack.sql));
    const rows = await recorded(byCli.sql);
    assert.equal(rows.length, versions.length);
    assert.deepEqual(rows, await recorded(byStack.sql));
  });

  await t.step("a second push does nothing, and neither does `task start` on what was pushed", async () => {
    const before = await recorded(byCli.sql);
    assert.deepEqual(await push(project, byCli), { upToDate: true, migrations: [] });
    assert.deepEqual(await start(byCli), { applied: [], already: versions });
    assert.deepEqual(await recorded(byCli.sql), before);
  });

  await t.step(
    "`migration list` agrees with what `task start` recorded, and a push there does nothing",
    async () => {
      const both = versions.map((version) => ({ local: version, remote: version }));
      assert.deepEqual(await list(project, byStack), both);
      assert.deepEqual(await list(project, byCli), both);
      assert.deepEqual(await push(project, byStack), { upToDate: true, migrations: [] });
    },
  );
});
