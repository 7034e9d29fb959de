/**
 * Real Postgres for integration tests: one cluster a test run, in it a database of its own for each test, cloned from a
 * template; and clusters of their own for tests of pg_cron's launcher.
 */
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { hubStandInsSql } from "../../scripts/local/hub_stand_ins.ts";
import { applyMigrationsWith } from "../../scripts/local/migrations.ts";
import { type Cluster, clustersOf, removeCluster, startCluster } from "../../scripts/local/postgres.ts";
import { processExists } from "../../scripts/local/server_process.ts";
import { pgCronSql, type Template } from "../../scripts/local/template.ts";

/** What a test database holds: pg_cron as in a watched project, or also the stand-ins and all migrations. */
export type TestDatabaseKind = "project" | "hub";

/** A database that one test has for itself. */
export interface TestDatabase {
  name: string;
  /** As role `postgres`: not superuser, BYPASSRLS, like the owner of a Supabase project. */
  url: string;
  /** As superuser `supabase_admin`. */
  adminUrl: string;
  /** A client as role `postgres`. */
  sql: postgres.Sql;
  /** A client as superuser. */
  admin: postgres.Sql;
  /** Ends the clients and drops the database, whoever is still connected. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A cluster with a live launcher of pg_cron, and clients of its database `postgres`. */
export interface LauncherCluster extends Cluster {
  sql: postgres.Sql;
  admin: postgres.Sql;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Where the test cluster is: URLs of its database `postgres`, set by {@link startTestCluster}. */
const URL_VARIABLE = "TEST_PG_URL";
const ADMIN_URL_VARIABLE = "TEST_PG_ADMIN_URL";

/** Where test clusters keep their state: not where the stack does, which stops all that it finds in its folder. */
export const ROOT_DIR = fileURLToPath(new URL("../../.local/tests", import.meta.url));
const MIGRATIONS_DIR = fileURLToPath(new URL("../../supabase/migrations", import.meta.url));

/** Long enough for every database that tests open side by side. */
const TEST_CLUSTER_SETTINGS = { max_connections: "200", "cron.database_name": "postgres" };

/**
 * Starts the cluster of a test run and sets `TEST_PG_URL` and `TEST_PG_ADMIN_URL`, which test files started from here
 * inherit.
 */
export async function startTestCluster(
  report: (line: string) => void = () => {},
): Promise<{ cluster: Cluster; stop(): Promise<void> }> {
  const cluster = await createTestCluster(report);
  Deno.env.set(URL_VARIABLE, cluster.dbUrl);
  Deno.env.set(ADMIN_URL_VARIABLE, cluster.adminDbUrl);
  const stop = async () => {
    Deno.env.delete(URL_VARIABLE);
    Deno.env.delete(ADMIN_URL_VARIABLE);
    await cluster.remove();
  };
  return { cluster, stop };
}

/** A database of one's own: `await using db = await testDatabase("hub")`. */
export async function testDatabase(kind: TestDatabaseKind): Promise<TestDatabase> {
  const urls = await clusterUrls();
  const name = `test_${kind}_${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`;
  await asAdmin(urls.adminUrl, async (admin) => {
    // a copy of files takes a third of the time of one through the log
    await admin.unsafe(
      `create database ${name} template ${kind}_template strategy file_copy owner postgres`,
    );
  });
  const url = withDatabase(urls.url, name);
  const adminUrl = withDatabase(urls.adminUrl, name);
  const sql = client(url);
  const admin = client(adminUrl);
  return {
    name,
    url,
    adminUrl,
    sql,
    admin,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([sql.end({ timeout: 1 }), admin.end({ timeout: 1 })]);
      await asAdmin(urls.adminUrl, async (server) => {
        await server.unsafe(`drop database if exists ${name} with (force)`);
      });
    },
  };
}

/** A cluster of one's own, in whose database `postgres` pg_cron runs jobs. */
export async function launcherCluster(
  options: { settings?: Record<string, string> } = {},
): Promise<LauncherCluster> {
  const name = `test-${Deno.pid}-${sequence()}`;
  const start = startCluster({
    name,
    port: 0,
    rootDir: ROOT_DIR,
    install: "allow",
    storage: "memory",
    ...options,
  });
  const cluster = await start.catch(async (error) => {
    await removeCluster(ROOT_DIR, name);
    throw error;
  });
  const sql = client(cluster.dbUrl);
  const admin = client(cluster.adminDbUrl);
  return {
    ...cluster,
    sql,
    admin,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([sql.end({ timeout: 1 }), admin.end({ timeout: 1 })]);
      await cluster.remove();
    },
  };
}

let ownCluster: Promise<Cluster> | undefined;

/** The run's cluster; a file that is run by itself starts its own, and removes it when the file is over. */
async function clusterUrls(): Promise<{ url: string; adminUrl: string }> {
  const url = Deno.env.get(URL_VARIABLE);
  const adminUrl = Deno.env.get(ADMIN_URL_VARIABLE);
  if (url !== undefined && adminUrl !== undefined) return { url, adminUrl };
  if (ownCluster === undefined) {
    ownCluster = createTestCluster(() => {});
    // the event does not wait for promises
    ownCluster.then((cluster) => addEventListener("unload", () => cluster.removeSync()), () => {});
  }
  const cluster = await ownCluster;
  return { url: cluster.dbUrl, adminUrl: cluster.adminDbUrl };
}

/** A new cluster with the templates of test databases; also removes those that killed runs have left. */
async function createTestCluster(report: (line: string) => void): Promise<Cluster> {
  for (const name of await clustersOf(ROOT_DIR)) {
    if (hasDeadOwner(name)) await removeCluster(ROOT_DIR, name);
  }
  return await startCluster({
    name: `test-${Deno.pid}-${sequence()}`,
    port: 0,
    rootDir: ROOT_DIR,
    install: "allow",
    storage: "memory",
    template: await testTemplate(),
    settings: TEST_CLUSTER_SETTINGS,
    report,
  });
}

/** The templates of test databases. Nothing may ever connect to them, or they could not be cloned. */
async function testTemplate(): Promise<Template> {
  const pgCron = await pgCronSql();
  const standIns = await hubStandInsSql();
  return {
    name: "tests",
    // pg_cron can only be created in the database that its launcher serves
    settings: { "cron.database_name": "project_template" },
    sources: [pgCron, standIns, ...await migrationTexts()],
    build: async (connect) => {
      const server = connect("postgres");
      await server.unsafe("create database project_template template postgres owner postgres");
      await connect("project_template").unsafe(pgCron);
      await closeDatabase(server, "project_template");
      await server.unsafe("create database hub_template template project_template owner postgres");
      await connect("hub_template").unsafe(standIns);
      await applyMigrationsWith(connect("hub_template", "postgres"), {
        dir: MIGRATIONS_DIR,
        report: () => {},
      });
      await closeDatabase(server, "hub_template");
    },
  };
}

async function closeDatabase(server: postgres.Sql, database: string): Promise<void> {
  await server.unsafe(`alter database ${database} with allow_connections false`);
  await server`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = ${database}`;
}

async function migrationTexts(): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(MIGRATIONS_DIR))).map((entry) => entry.name).sort();
  return await Promise.all(
    names.map(async (name) => name + await Deno.readTextFile(`${MIGRATIONS_DIR}/${name}`)),
  );
}

let lastSequence = 0;

/** Test files are isolates of one process: the number of the process alone would name their clusters alike. */
function sequence(): string {
  return `${crypto.randomUUID().slice(0, 8)}-${++lastSequence}`;
}

/** Whether the process that started a test cluster, by the cluster's name, is gone. */
function hasDeadOwner(clusterName: string): boolean {
  const pid = /^test-(\d+)-/.exec(clusterName)?.[1];
  return pid !== undefined && !processExists(Number(pid));
}

function client(url: string): postgres.Sql {
  return postgres(url, { max: 4, onnotice: () => {} });
}

async function asAdmin(adminUrl: string, work: (admin: postgres.Sql) => Promise<void>): Promise<void> {
  const admin = postgres(adminUrl, { max: 1, onnotice: () => {} });
  try {
    await work(admin);
  } finally {
    await admin.end({ timeout: 5 });
  }
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}
