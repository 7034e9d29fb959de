import assert from "node:assert/strict";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { addJob, addRun } from "../support/cron_rows.ts";
import { DEFAULT_READ_LIMITS, readCronFacts } from "../../supabase/functions/_shared/sources/cron_facts.ts";
import type { CronFacts } from "../../supabase/functions/_shared/domain/facts.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";

const CONNECT = { caCert: null, connectTimeoutSeconds: 5 };
const FROM_THE_START = { cursor: null, openRunIds: [] };

function project(databaseUrl: string) {
  return { name: "smoothed", databaseUrl, ref: null };
}

function withUser(url: string, user: string, password: string): string {
  const changed = new URL(url);
  changed.username = user;
  changed.password = password;
  return changed.href;
}

async function codeOf(reading: Promise<unknown>): Promise<string> {
  return await reading.then(
    () => "it was read",
    (error) => error instanceof AppError ? error.code : String(error),
  );
}

Deno.test("a first look reads jobs, settings, clock and the newest runs", async () => {
  await using db = await testDatabase("project");
  const jobId = await addJob(db, { name: null, schedule: "*/5 * * * *" });
  const runId = await addRun(db, jobId, { status: "failed", message: "ERROR: boom", startedSecondsAgo: 30 });
  const facts = await readCronFacts(project(db.url), FROM_THE_START, CONNECT);
  assert.deepEqual(facts.jobs.map(({ jobName, schedule, userName }) => [jobName, schedule, userName]), [
    [null, "*/5 * * * *", "postgres"],
  ]);
  assert.deepEqual(facts.runs.map(({ runId, status, message }) => [runId, status, message]), [
    [runId, "failed", "ERROR: boom"],
  ]);
  assert.deepEqual([facts.reading, facts.cursor], ["first", runId]);
  assert.ok(Math.abs(facts.now - Date.now()) < 5_000);
  assert.equal(facts.settings.logRun, true);
});

Deno.test("a later look reads only runs after the cursor, and the open ones again", async () => {
  await using db = await testDatabase("project");
  const jobId = await addJob(db);
  const open = await addRun(db, jobId, { status: "running", seconds: null });
  const cursor = await addRun(db, jobId);
  const next = await addRun(db, jobId);
  const facts = await readCronFacts(project(db.url), { cursor, openRunIds: [open] }, CONNECT);
  assert.deepEqual(facts.runs.map(({ runId }) => runId), [next]);
  assert.deepEqual(facts.reread.map(({ runId, status }) => [runId, status]), [[open, "running"]]);
  assert.deepEqual([facts.reading, facts.cursor], ["next", next]);
});

Deno.test("a job that was paused and resumed looks the same, but for the version of its row", async () => {
  await using db = await testDatabase("project");
  const jobId = await addJob(db);
  const look = async () => (await readCronFacts(project(db.url), FROM_THE_START, CONNECT)).jobs;
  const [before] = await look();
  assert.deepEqual(await look(), [before]);
  await db.sql`select cron.alter_job(${jobId}, active := false)`;
  await db.sql`select cron.alter_job(${jobId}, active := true)`;
  const [after] = await look();
  assert.notEqual(after?.rowVersion, before?.rowVersion);
  assert.deepEqual({ ...after, rowVersion: "" }, { ...before, rowVersion: "" });
});

Deno.test("more runs than a page are read on in order, and what is left is said", async () => {
  await using db = await testDatabase("project");
  const jobId = await addJob(db);
  const first = await addRun(db, jobId, { startedSecondsAgo: 1000 });
  await db.admin`
    insert into cron.job_run_details (jobid, status, start_time, end_time)
    select ${jobId}, 'succeeded', now() - make_interval(secs => 900 - n), now() from generate_series(1, 25) n`;
  const limits = { ...DEFAULT_READ_LIMITS, pageRuns: 10 };
  const whole = await readCronFacts(project(db.url), { cursor: first, openRunIds: [] }, CONNECT, limits);
  assert.deepEqual([whole.runs.length, whole.cursor], [25, first + 25]);
  assert.equal(whole.knownUntil, whole.now);
  const part = await readCronFacts(project(db.url), { cursor: first, openRunIds: [] }, CONNECT, {
    ...limits,
    pages: 2,
  });
  assert.deepEqual([part.runs.length, part.cursor], [20, first + 20]);
  assert.equal(part.knownUntil, part.runs.at(-1)?.startedAt);
});

Deno.test("a first look finds the last run of a rare job before the newest runs", async () => {
  await using db = await testDatabase("project");
  const rare = await addJob(db, { name: "weekly" });
  const busy = await addJob(db, { name: "busy" });
  const rareRun = await addRun(db, rare);
  for (let i = 0; i < 5; i++) await addRun(db, busy);
  const limits = { ...DEFAULT_READ_LIMITS, firstRuns: 3 };
  const facts = await readCronFacts(project(db.url), FROM_THE_START, CONNECT, limits);
  assert.deepEqual(facts.runs.map(({ jobId }) => jobId), [rare, busy, busy, busy]);
  assert.equal(facts.runs[0]?.runId, rareRun);
});

Deno.test("a cursor above the highest run id means that the history was replaced", async () => {
  await using db = await testDatabase("project");
  const runId = await addRun(db, await addJob(db));
  const facts = await readCronFacts(project(db.url), { cursor: runId + 1000, openRunIds: [] }, CONNECT);
  assert.deepEqual([facts.reading, facts.cursor], ["restored", runId]);
});

Deno.test("an empty history is an empty history, not an error", async () => {
  await using db = await testDatabase("project");
  const facts = await readCronFacts(project(db.url), FROM_THE_START, CONNECT);
  assert.deepEqual([facts.jobs, facts.runs, facts.cursor], [[], [], null]);
});

Deno.test("rows that row level security hides are an error, never zero jobs", async () => {
  await using db = await testDatabase("project");
  await addJob(db);
  await withReader(db, "login", async (reader) => {
    const reading = readCronFacts(project(reader.url), FROM_THE_START, CONNECT);
    assert.equal(await codeOf(reading), "no_privilege");
  });
});

/** A role that may read pg_cron's tables, as far as its row security lets it. */
async function withReader(
  db: TestDatabase,
  options: string,
  use: (reader: { role: string; url: string }) => Promise<void>,
): Promise<void> {
  const role = `reader_${crypto.randomUUID().slice(0, 8)}`;
  await db.admin.unsafe(`create role ${role} ${options} password 'reading';
    grant usage on schema cron to ${role}; grant select on all tables in schema cron to ${role}`);
  try {
    await use({ role, url: withUser(db.url, role, "reading") });
  } finally {
    await db.admin.unsafe(`drop owned by ${role}; drop role ${role}`);
  }
}

Deno.test("settings hidden from a role are not known, until it is granted to read them", async () => {
  await using db = await testDatabase("project");
  await withReader(db, "login bypassrls", async ({ role, url }) => {
    const read = () => readCronFacts(project(url), FROM_THE_START, CONNECT);
    const known = (
      facts: CronFacts,
    ) => [facts.settings.timeZone, facts.settings.logRun, facts.settings.access];
    const old = await read();
    assert.deepEqual([...known(old), old.launcherAlive], ["GMT", null, "no_privilege", null]);
    // as if the extension were newer: Debian has no pg_cron with a cron.timezone
    await db.admin`update pg_extension set extversion = '1.6' where extname = 'pg_cron'`;
    assert.deepEqual(known(await read()), [null, null, "no_privilege"]);
    await db.admin.unsafe(`grant pg_read_all_settings to ${role}`);
    assert.deepEqual(known(await read()), ["GMT", true, "readable"]);
  });
});

Deno.test("each way in which a project cannot be read has its own code, and no message holds the URL", async () => {
  await using db = await testDatabase("project");
  const url = new URL(db.url);
  const password = url.password;
  const elsewhere = (change: (url: URL) => void) => {
    const changed = new URL(db.url);
    change(changed);
    return changed.href;
  };
  const cases: [expected: string, url: string][] = [
    ["wrong_credentials", withUser(db.url, "postgres", "wrong")],
    ["wrong_credentials", elsewhere((changed) => changed.pathname = "/no_such_database")],
    ["unreachable", elsewhere((changed) => changed.port = "1")],
    ["pg_cron_missing", elsewhere((changed) => changed.pathname = "/template1")],
    ["project_paused", elsewhere((changed) => changed.hostname = "db.no-such-project.invalid")],
  ];
  for (const [expected, databaseUrl] of cases) {
    const error = await readCronFacts(project(databaseUrl), FROM_THE_START, CONNECT).catch((error) => error);
    assert.ok(error instanceof AppError, expected);
    assert.equal(error.code, expected);
    assert.match(error.message, /"smoothed"/);
    assert.ok(!error.message.includes(password) && !error.message.includes("postgres://"), error.message);
  }
});

Deno.test("a server that accepts and says nothing is a connect timeout, after one more try", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let connections = 0;
  const accepted: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const connection of listener) {
      connections++;
      accepted.push(connection);
    }
  })();
  const url = `postgresql://u:p@127.0.0.1:${(listener.addr as Deno.NetAddr).port}/postgres`;
  const reading = readCronFacts(project(url), FROM_THE_START, { ...CONNECT, connectTimeoutSeconds: 1 });
  assert.equal(await codeOf(reading), "connect_timeout");
  assert.equal(connections, 2);
  listener.close();
  await accepting;
  for (const connection of accepted) connection.close();
});

/** A way to a server that counts who comes along. */
function countingWay(databaseUrl: string) {
  const { hostname, port } = new URL(databaseUrl);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const counted = { connections: 0 };
  const done = (async () => {
    for await (const inner of listener) {
      counted.connections++;
      const outer = await Deno.connect({ hostname, port: Number(port) });
      const pipes = [inner.readable.pipeTo(outer.writable), outer.readable.pipeTo(inner.writable)];
      await Promise.all(pipes.map((pipe) => pipe.catch(() => {})));
    }
  })();
  const way = new URL(databaseUrl);
  way.host = `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
  return { url: way.href, counted, close: () => (listener.close(), done) };
}

Deno.test("wrong credentials are never tried again", async () => {
  await using db = await testDatabase("project");
  const way = countingWay(db.url);
  const wrong = withUser(way.url, "postgres", "wrong");
  assert.equal(await codeOf(readCronFacts(project(wrong), FROM_THE_START, CONNECT)), "wrong_credentials");
  assert.equal(way.counted.connections, 1);
  await way.close();
});

Deno.test("the connection to a project is closed when it was read", async () => {
  await using db = await testDatabase("project");
  await addJob(db);
  await readCronFacts(project(db.url), FROM_THE_START, CONNECT);
  const [left] = await db.admin`
    select count(*)::int as n from pg_stat_activity where application_name = 'supabase-job-monitor' and datname = ${db.name}`;
  assert.equal(left?.n, 0, "the connection is closed");
});
