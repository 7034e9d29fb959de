/** Local clusters: Supabase's role model, and what happens when something is in the way. */
import assert from "node:assert/strict";
import process from "node:process";
import postgres from "postgres";
import { clustersOf, findPostgres, startCluster, stopCluster } from "../../scripts/local/postgres.ts";
import { launcherCluster, ROOT_DIR, testDatabase } from "../support/postgres.ts";
import { waitFor } from "../support/wait_for.ts";

/** The SQLSTATE that a query fails with. */
async function refusal(query: Promise<unknown>): Promise<string | undefined> {
  return await query.then(() => undefined, (error: postgres.PostgresError) => error.code);
}

const INSUFFICIENT_PRIVILEGE = "42501";
const WRONG_PASSWORD = "28P01";

Deno.test("postgres is no superuser, but bypasses row level security and reads statistics", async () => {
  await using db = await testDatabase("project");
  const [role] = await db.sql`
    select rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication,
      pg_has_role('pg_monitor', 'member') as monitor, pg_has_role('service_role', 'member') as service,
      current_setting('search_path') as path
    from pg_roles where rolname = current_user`;
  assert.deepEqual({ ...role }, {
    rolsuper: false,
    rolbypassrls: true,
    rolcreatedb: true,
    rolcreaterole: true,
    rolreplication: true,
    monitor: true,
    service: true,
    path: '"$user", public, extensions',
  });
  assert.equal(await refusal(db.sql`alter role supabase_admin nosuperuser`), INSUFFICIENT_PRIVILEGE);
});

Deno.test("what postgres makes in public is granted to the API roles, by default privileges", async () => {
  await using db = await testDatabase("project");
  for (const maker of [db.sql, db.admin]) {
    await maker`create table public.made (id serial)`;
    const [may] = await db.sql`
      select has_table_privilege('anon', 'public.made', 'insert') as anon,
        has_sequence_privilege('authenticated', 'public.made_id_seq', 'usage') as authenticated,
        has_table_privilege('service_role', 'public.made', 'truncate') as service`;
    assert.deepEqual({ ...may }, { anon: true, authenticated: true, service: true });
    await maker`drop table public.made`;
  }
});

Deno.test("anon has a statement timeout of 3 s and authenticated one of 8 s", async () => {
  await using db = await testDatabase("project");
  const rows = await db.sql`
    select rolname, rolconfig from pg_roles where rolname in ('anon', 'authenticated') order by rolname`;
  assert.deepEqual(rows.map((row) => row["rolconfig"]), [["statement_timeout=3s"], ["statement_timeout=8s"]]);
});

Deno.test("only postgres may use pg_cron, and writes cron.job through its functions alone", async () => {
  await using db = await testDatabase("project");
  await db.sql`select cron.schedule('nightly', '0 3 * * *', 'select 1')`;
  const [job] = await db.sql`select jobname, username from cron.job`;
  assert.deepEqual({ ...job }, { jobname: "nightly", username: "postgres" });
  assert.equal(await refusal(db.sql`update cron.job set schedule = '* * * * *'`), INSUFFICIENT_PRIVILEGE);
  assert.equal(await refusal(db.sql`delete from cron.job_run_details`), undefined);

  for (const role of ["anon", "authenticated", "service_role"]) {
    const look = db.admin.begin((sql) => sql.unsafe(`set local role ${role}; select * from cron.job`));
    assert.equal(await refusal(look), INSUFFICIENT_PRIVILEGE, role);
  }
});

Deno.test("a wrong password is refused, and so is a role without one", async () => {
  await using db = await testDatabase("project");
  for (const user of ["postgres:wrong", "supabase_admin", "anon"]) {
    const url = new URL(db.url);
    const [username = "", password = ""] = user.split(":");
    Object.assign(url, { username, password });
    const sql = postgres(url.href, { max: 1 });
    assert.equal(await refusal(sql`select 1`), WRONG_PASSWORD, user);
    await sql.end();
  }
});

Deno.test("test databases know nothing of each other", async () => {
  const databases = await Promise.all([1, 2, 3, 4].map(() => testDatabase("project")));
  await Promise.all(databases.map((db) => db.sql`select cron.schedule('alone', '* * * * *', 'select 1')`));
  for (const db of databases) assert.equal((await db.sql`select from cron.job`).length, 1);
  await Promise.all(databases.map((db) => db[Symbol.asyncDispose]()));
});

Deno.test("the servers never run as root", async () => {
  await using cluster = await launcherCluster();
  const status = await Deno.readTextFile(`/proc/${cluster.pid}/status`).catch(() => "Uid:\t1");
  assert.notEqual(/^Uid:\s+(\d+)/m.exec(status)?.[1], "0");
});

Deno.test("pg_cron's launcher lives in database postgres", async () => {
  await using cluster = await launcherCluster();
  const found = await waitFor(async () => {
    const [row] = await cluster.sql`
      select datname from pg_stat_activity where application_name = 'pg_cron scheduler'`;
    return row?.["datname"] as string | undefined;
  }, { what: "the launcher", withinMs: 60_000 });
  assert.equal(found, "postgres");
});

Deno.test("a killed server is stopped without complaint and started again with its data", async () => {
  await using cluster = await launcherCluster();
  await cluster.sql`create table kept as select 42 as answer`;
  // a commit waits for no disk here, so the last ones may be lost
  await cluster.admin`checkpoint`;
  process.kill(cluster.pid, "SIGKILL");
  await stopCluster(cluster.dataDir);
  await stopCluster(cluster.dataDir);

  // by then the number in the pid file may be any other process's
  const stale = `${cluster.dataDir}/postmaster.pid`;
  const lines = (await Deno.readTextFile(stale)).split("\n");
  await Deno.writeTextFile(stale, [String(Deno.pid), ...lines.slice(1)].join("\n"));

  const again = await startCluster({ name: cluster.name, port: 0, rootDir: ROOT_DIR });
  const sql = postgres(again.dbUrl, { max: 1 });
  assert.deepEqual([...await sql`select answer from kept`], [{ answer: 42 }]);
  await sql.end();
});

Deno.test("a running cluster is not started twice unless a restart is asked for", async () => {
  await using cluster = await launcherCluster();
  const options = { name: cluster.name, port: 0, rootDir: ROOT_DIR };
  await assert.rejects(startCluster(options), /Cannot start cluster ".+": it runs already, as process \d+/);
  const again = await startCluster({ ...options, ifRunning: "restart" });
  assert.notEqual(again.pid, cluster.pid);
});

Deno.test("a taken port is named", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const name = `test-${Deno.pid}-taken-port`;
  await assert.rejects(
    startCluster({ name, port, rootDir: ROOT_DIR }),
    new RegExp(`Cannot start cluster "${name}": port ${port} is taken`),
  );
});

Deno.test("a server that cannot start is told with its log", async () => {
  const before = await clustersOf(ROOT_DIR);
  await assert.rejects(
    launcherCluster({ settings: { shared_buffers: "1000TB" } }),
    /Cannot start Postgres on ".+"; the last lines of ".+":\n {2}.*shared_buffers/,
  );
  assert.deepEqual(await clustersOf(ROOT_DIR), before);
});

Deno.test("findPostgres() finds a version that runs here", async () => {
  const found = await findPostgres({ install: "never", report: () => {} });
  assert(found.major >= 15);
});
