/** The truth about net.http_post: the wrapper on a watched project, and what a check makes of what became of its calls. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { addJob, addRun, secondsIntoHour } from "../support/cron_rows.ts";
import {
  callAs,
  INSTALL_SQL,
  installHttpCalls,
  startServer,
  startWorker,
  UNINSTALL_SQL,
  untilAnswered,
} from "../support/http_calls.ts";
import { checkOf, incidentsOf, verdictsOf } from "../support/live_project.ts";
import { watchOnlyOthers } from "../support/functions.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { waitFor } from "../support/wait_for.ts";

/** A job that has just run, as pg_cron has it: queued its call, so succeeded. */
async function jobThatRan(project: TestDatabase, name: string): Promise<number> {
  const jobId = await addJob(project, { name, schedule: "0 * * * *" });
  await addRun(project, jobId, { startedSecondsAgo: secondsIntoHour() });
  return jobId;
}

async function worldOf(): Promise<{ hub: TestDatabase; project: TestDatabase } & AsyncDisposable> {
  const [hub, project] = await Promise.all([testDatabase("hub"), testDatabase("project")]);
  await watchOnlyOthers(hub);
  await installHttpCalls(project);
  return {
    hub,
    project,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([hub[Symbol.asyncDispose](), project[Symbol.asyncDispose]()]);
    },
  };
}

/** `[source, status, message]` of the log rows about calls. */
async function httpLog(hub: TestDatabase): Promise<[job: string, status: string, message: string | null][]> {
  const rows = await hub.sql`
    select job_name, status, error_message from job_health_log where source = 'http' order by job_name, run_at, status`;
  return rows.map((row) => [row["job_name"], row["status"], row["error_message"]]);
}

Deno.test('500, 404, a timeout, a refused connection and "ok": false are told as what the runs came to', async () => {
  await using world = await worldOf();
  const { hub, project } = world;
  await using server = startServer();
  await using _worker = await startWorker(project);
  const host = new URL(server.url).host;
  const refused = new URL(server.refusedUrl).host;
  const calls: Record<string, [url: string, timeoutMs: number]> = {
    "gets 200": [`${server.url}/200`, 5_000],
    "gets 404": [`${server.url}/404`, 5_000],
    "gets 500": [`${server.url}/500?token=secret-in-query`, 5_000],
    "gets ok false": [`${server.url}/ok-false`, 5_000],
    "is refused": [`${server.refusedUrl}/sync`, 5_000],
    "says ok false unannotated": [`${server.url}/ok-false`, 5_000],
    "times out": [`${server.url}/held`, 1_000],
  };
  for (const name of Object.keys(calls)) await jobThatRan(project, name);
  await checkOf(hub, project.url);
  await hub.sql`update job_inventory set check_body_ok = true where job_name = 'gets ok false'`;
  for (const [name, [url, timeoutMs]] of Object.entries(calls)) await callAs(project, name, url, timeoutMs);
  await untilAnswered(project);
  server.release();

  const report = await checkOf(hub, project.url);
  assert.deepEqual(verdictsOf(report), {
    "gets 200": ["healthy", null],
    "gets 404": ["failed", "http_failed"],
    "gets 500": ["failed", "http_failed"],
    "gets ok false": ["failed", "http_failed"],
    "is refused": ["failed", "http_failed"],
    "says ok false unannotated": ["healthy", null],
    "times out": ["unknown", "http_unknown"],
  });
  const timeout =
    `nobody can say what became of the call to ${host}/held: pg_net waited 1 s and gave up, which says ` +
    "nothing about what the function did";
  const messages: Record<string, string | null> = {
    "gets 200": null,
    "gets 404": `the call got 404 from ${host}/404: status 404`,
    "gets 500": `the call got 500 from ${host}/500: status 500`,
    "gets ok false": `the call got 200 from ${host}/ok-false, and "ok": false in its body: ` +
      `{"ok":false,"error":"no rows, password=***"}`,
    "is refused": `the call to ${refused}/sync failed: Couldn't connect to server`,
    "says ok false unannotated": null,
    "times out": timeout,
  };
  const status = (name: string) =>
    name === "times out" ? "unknown" : messages[name] === null ? "success" : "failed";
  assert.deepEqual(
    await httpLog(hub),
    Object.keys(calls).map((name) => [name, status(name), messages[name]]),
  );
  const incidents = (await incidentsOf(hub)).map((
    { subject, code, severity, summary },
  ) => [subject, code, severity, summary]);
  assert.deepEqual(
    incidents.sort((a, b) => String(a[0]).localeCompare(String(b[0]))),
    Object.keys(calls).filter((name) => messages[name] !== null).map((name) =>
      name === "times out"
        ? [name, "http_unknown", "low", timeout]
        : [name, "http_failed", "important", messages[name]]
    ),
  );
  assert.deepEqual(
    { ...report.http },
    {
      queue: 0,
      worker_up: true,
      answers: 7,
      failed: 3,
      timed_out: 1,
      failure_rate: 0.571,
      calls_kept: true,
      strangers: [],
      errors: [],
    },
  );

  // nothing is logged twice, and a call that gets its answer ends the incident
  await checkOf(hub, project.url);
  assert.equal((await httpLog(hub)).length, 7);
  for (const name of Object.keys(calls)) await callAs(project, name, `${server.url}/200`);
  await untilAnswered(project);
  const after = await checkOf(hub, project.url);
  assert.deepEqual([after.healthy, after.incidents_resolved], [7, 5]);
});

Deno.test("a call that waits is judged when it has ended, with the other calls of its run", async () => {
  await using world = await worldOf();
  const { hub, project } = world;
  await using server = startServer();
  await jobThatRan(project, "fans out");
  await checkOf(hub, project.url);
  await project.sql`
    select monitored.http_post('fans out', url) from unnest(array[${`${server.url}/held`}, ${`${server.url}/500`}]) url`;
  const waiting = await checkOf(hub, project.url);
  assert.deepEqual(verdictsOf(waiting)["fans out"], ["healthy", null]);
  assert.equal(waiting.http?.queue, 2);
  server.release();
  await using _worker = await startWorker(project);
  await untilAnswered(project);
  const report = await checkOf(hub, project.url);
  assert.deepEqual(verdictsOf(report)["fans out"], ["failed", "http_failed"]);
  const host = new URL(server.url).host;
  assert.deepEqual(await httpLog(hub), [[
    "fans out",
    "failed",
    `1 of 2 calls did not succeed; the first: the call got 500 from ${host}/500: status 500`,
  ]]);
});

Deno.test("a crash that empties pg_net's tables makes calls unknown, and a new request of the same number answers for none of them", async () => {
  await using world = await worldOf();
  const { hub, project } = world;
  await using server = startServer();
  await jobThatRan(project, "before the crash");
  await jobThatRan(project, "after the crash");
  const before = await callAs(project, "before the crash", `${server.url}/200`);
  // what crash recovery does to unlogged tables and their sequences
  await project.admin.unsafe(`
    truncate net.http_request_queue restart identity; truncate net._http_response; truncate monitored.http_epoch`);
  await using _worker = await startWorker(project);
  const after = await callAs(project, "after the crash", `${server.url}/500`);
  assert.equal(after, before);
  await untilAnswered(project);
  const report = await checkOf(hub, project.url);
  assert.deepEqual(verdictsOf(report), {
    "after the crash": ["failed", "http_failed"],
    "before the crash": ["unknown", "http_unknown"],
  });
  const [lost] = (await incidentsOf(hub)).filter(({ subject }) => subject === "before the crash");
  assert.equal(lost?.severity, "info");
  assert.match(lost?.summary ?? "", /the server crashed, and pg_net's answers with it/);
});

Deno.test("an answer that somebody else wrote beside pg_net's is noticed; one that is gone is unknown", async () => {
  await using world = await worldOf();
  const { hub, project } = world;
  await using server = startServer();
  await using _worker = await startWorker(project);
  await jobThatRan(project, "forged");
  await jobThatRan(project, "deleted");
  const forged = await callAs(project, "forged", `${server.url}/500`);
  const deleted = await callAs(project, "deleted", `${server.url}/200`);
  await untilAnswered(project);
  await project.admin.unsafe("create role intruder login");
  try {
    await project.admin.begin(async (sql) => {
      await sql`set local role intruder`;
      await sql`insert into net._http_response (id, status_code, timed_out) values (${forged}, 200, false)`;
      await sql`delete from net._http_response where id = ${deleted}`;
    });
  } finally {
    await project.admin.unsafe("drop role intruder");
  }
  const report = await checkOf(hub, project.url);
  assert.deepEqual(verdictsOf(report), {
    deleted: ["unknown", "http_unknown"],
    forged: ["unknown", "http_unknown"],
  });
  const summaries = report.details.map(({ summary }) => summary).sort();
  assert.match(summaries[1] ?? "", /somebody else than pg_net wrote there/);
  assert.match(summaries[0] ?? "", /neither request nor answer any more/);
});

Deno.test("a call whose transaction is committed late is not overlooked", async () => {
  await using world = await worldOf();
  const { hub, project } = world;
  await using server = startServer();
  await using _worker = await startWorker(project);
  await jobThatRan(project, "slow");
  await jobThatRan(project, "quick");
  await callAs(project, "quick", `${server.url}/200`);
  await checkOf(hub, project.url);
  const slow = postgres(project.url, { max: 1 });
  try {
    await slow.unsafe(`begin; select monitored.http_post('slow', '${server.url}/500')`).simple();
    await callAs(project, "quick", `${server.url}/200`);
    await untilAnswered(project);
    await checkOf(hub, project.url);
    await slow.unsafe("commit").simple();
  } finally {
    await slow.end();
  }
  await untilAnswered(project);
  await waitFor(async () => (await project.sql`select from net._http_response`).length === 3, {
    what: "the third answer",
    withinMs: 60_000,
  });
  const report = await checkOf(hub, project.url);
  assert.deepEqual(verdictsOf(report), { quick: ["healthy", null], slow: ["failed", "http_failed"] });
  assert.equal((await httpLog(hub)).length, 3);
});

Deno.test("without pg_net, and without the wrapper, a check says nothing of calls and fails nowhere", async () => {
  await using hub = await testDatabase("hub");
  await using project = await testDatabase("project");
  await watchOnlyOthers(hub);
  await jobThatRan(project, "plain");
  const without = await checkOf(hub, project.url);
  assert.deepEqual([without.status, without.http], ["ok", undefined]);
  await installHttpCalls(project);
  await project.sql.unsafe(UNINSTALL_SQL);
  const uninstalled = await checkOf(hub, project.url);
  assert.deepEqual([uninstalled.status, uninstalled.http?.calls_kept, uninstalled.http?.queue], [
    "ok",
    false,
    0,
  ]);
});

Deno.test("what cannot be read of pg_net is told, and the check goes on", async () => {
  await using world = await worldOf();
  const { hub, project } = world;
  await jobThatRan(project, "plain");
  const reader = `reader_${crypto.randomUUID().slice(0, 8)}`;
  await project.admin.unsafe(`
    create role ${reader} login bypassrls password 'reading';
    grant usage on schema cron to ${reader}; grant select on cron.job, cron.job_run_details to ${reader}`);
  const url = new URL(project.url);
  url.username = reader;
  url.password = "reading";
  try {
    const refused = await checkOf(hub, url.href);
    assert.deepEqual([refused.status, refused.http?.errors, refused.http?.worker_up], [
      "ok",
      ["42501"],
      null,
    ]);
    await project.sql.unsafe(`
      grant usage on schema monitored to ${reader};
      grant execute on function monitored.http_report(bigint, bigint[], integer) to ${reader}`);
    const granted = await checkOf(hub, url.href);
    assert.deepEqual([granted.http?.errors, granted.http?.calls_kept], [[], true]);
    const own = postgres(url.href, { max: 1 });
    try {
      await assert.rejects(own`select * from monitored.http_calls`, /permission denied/);
      await assert.rejects(own`select monitored.note_http_call(1, 'a', 'POST', 'x', 1)`, /permission denied/);
    } finally {
      await own.end();
    }
  } finally {
    await project.admin.unsafe(`drop owned by ${reader}; drop role ${reader}`);
  }
});

Deno.test("the wrapper keeps host and path only, no value of a query, and forgets after a day", async () => {
  await using world = await worldOf();
  const { project } = world;
  await callAs(project, "a", "https://user:pass@example.com/functions/v1/sync?token=abc&plain#part");
  await project.sql`
    select monitored.http_get(job := 'a', url := 'https://example.com', params := '{"key": "abc"}'),
      monitored.http_delete('a', 'https://example.com/x')`;
  const rows = await project.sql`
    select method, url, called_by, timeout_milliseconds from monitored.http_calls order by call_id`;
  assert.deepEqual(rows.map((row) => Object.values(row)), [
    ["POST", "https://example.com/functions/v1/sync?token=***&***", "postgres", 5000],
    ["GET", "https://example.com", "postgres", 5000],
    ["DELETE", "https://example.com/x", "postgres", 5000],
  ]);
  await assert.rejects(callAs(project, " ", "https://example.com"), /the job's name is empty/);
  await project.sql`update monitored.http_calls set called_at = now() - interval '25 hours'`;
  await callAs(project, "a", "https://example.com/");
  const [left] = await project.sql`select count(*)::int as n from monitored.http_calls`;
  assert.equal(left?.["n"], 1);
});

Deno.test("installing again keeps what is there; uninstalling refuses while a job still calls", async () => {
  await using world = await worldOf();
  const { project } = world;
  await callAs(project, "a", "https://example.com/");
  await project.sql.unsafe(INSTALL_SQL);
  const [kept] = await project.sql`select count(*)::int as n from monitored.http_calls`;
  assert.equal(kept?.["n"], 1);
  const jobId = await addJob(project, {
    name: "a",
    command: "select monitored.http_post('a', 'https://example.com/')",
  });
  await assert.rejects(
    project.sql.unsafe(UNINSTALL_SQL),
    /these cron jobs still call by monitored\.http_…: a/,
  );
  await project.admin`delete from cron.job where jobid = ${jobId}`;
  await project.sql.unsafe(UNINSTALL_SQL);
  const [gone] = await project.sql`select to_regnamespace('monitored') as schema`;
  assert.equal(gone?.["schema"], null);
  await using bare = await testDatabase("project");
  await assert.rejects(bare.sql.unsafe(INSTALL_SQL), /this database has no pg_net/);
});

Deno.test("a queue that waits for a slow request is none of our business; one that stands still is an incident", async () => {
  await using world = await worldOf();
  const { hub, project } = world;
  await using server = startServer();
  await jobThatRan(project, "plain");
  {
    await using _worker = await startWorker(project);
    await callAs(project, "plain", `${server.url}/held`, 20_000);
    await waitFor(async () => {
      const [row] = await project.admin`
        select count(*)::int as n from pg_stat_activity where application_name like 'pg_net %' and xact_start is not null
          and datname = current_database()`;
      return row?.["n"] === 1;
    }, { what: "a batch", withinMs: 60_000 });
    await callAs(project, "plain", `${server.url}/200`);
    const slow = await checkOf(hub, project.url);
    assert.deepEqual([slow.http?.queue, slow.http?.worker_up], [2, true]);
    // as if it had been so for an hour
    await hub.sql`
      update project_state set http = jsonb_set(http, '{queue_since}', to_jsonb((http ->> 'queue_since')::bigint - 3600000))
      where project_name = 'smoothed'`;
    await checkOf(hub, project.url);
    assert.deepEqual(await incidentsOf(hub), []);
    server.release();
    await untilAnswered(project);
  }
  await project.sql`select net.http_post('https://example.com/')`;
  await checkOf(hub, project.url);
  assert.deepEqual(await incidentsOf(hub), [], "it has just begun to wait");
  await hub.sql`
    update project_state set http = jsonb_set(http, '{queue_since}', to_jsonb((http ->> 'queue_since')::bigint - 120000))
    where project_name = 'smoothed'`;
  await checkOf(hub, project.url);
  const [stalled] = await incidentsOf(hub);
  assert.deepEqual([stalled?.subject, stalled?.code], ["smoothed", "http_queue_stalled"]);
  assert.match(
    stalled?.summary ?? "",
    /^pg_net's worker is not running: 1 request waits, the first for 2 min/,
  );
  await using _again = await startWorker(project);
  await project.sql`truncate net.http_request_queue`;
  await checkOf(hub, project.url);
  assert.equal((await incidentsOf(hub))[0]?.resolution, "recovered");
});
