import assert from "node:assert/strict";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { addJob, addRun } from "../support/cron_rows.ts";
import { readCronFacts } from "../../supabase/functions/_shared/sources/cron_facts.ts";

async function ask(db: TestDatabase, checks: readonly string[], when: "new success" | "always" = "always") {
  const project = { name: "smoothed", databaseUrl: db.url, ref: null };
  const successChecks = checks.map((sql, index) => ({ jobId: index + 1, sql, when }));
  const from = { cursor: null, openRunIds: [], successChecks };
  const facts = await readCronFacts(project, from, { caCert: null, connectTimeoutSeconds: 5 });
  return facts.successChecks;
}

Deno.test("a success check holds, does not hold, or says why nobody knows", async () => {
  await using db = await testDatabase("project");
  const answers = await ask(db, ["select true", "select 1 > 2;", "select * from nowhere", "values (true)"]);
  assert.deepEqual(answers.map(({ jobId, held }) => [jobId, held]), [[1, true], [2, false], [3, null], [
    4,
    true,
  ]]);
  assert.match(answers[2]?.error ?? "", /relation "nowhere" does not exist/);
});

Deno.test("a success check must answer one row with one boolean", async () => {
  await using db = await testDatabase("project");
  const answers = await ask(db, [
    "select true where false",
    "select true from generate_series(1, 2)",
    "select true, true",
    "select null::boolean",
    "select 1",
    "select 'true'",
    "select true from generate_series(1, 99999) a, generate_series(1, 99999) b, generate_series(1, 99999) c",
  ]);
  for (const { held, error } of answers) {
    assert.deepEqual([held, error], [null, "it must answer one row with one boolean"]);
  }
});

Deno.test("a success check that writes, or holds more than one statement, is refused and changes nothing", async () => {
  await using db = await testDatabase("project");
  await db.sql`create table precious as select 1 as id`;
  await db.sql`create function destroy() returns boolean language plpgsql as $$
    begin delete from precious; return true; end $$`;
  const writing = [
    "insert into precious values (2) returning true",
    "with gone as (delete from precious returning 1) select count(*) > 0 from gone",
    "select destroy()",
    "drop table precious",
    "select true; commit; drop table precious",
    "commit; drop table precious; select true",
    "select true; set transaction read write; drop table precious",
    "set transaction read write",
    "commit",
    "do $$ begin commit; delete from precious; end $$",
    "select set_config('transaction_read_only', 'off', false) = 'off' and destroy()",
    "copy (select true) to stdout",
    "copy precious from stdin",
    "explain analyze select destroy()",
    "select true) to stdout; drop table precious; --",
    "",
    "-- nothing",
  ];
  const answers = await ask(db, [...writing, "select count(*) = 1 from precious"]);
  for (const [index, query] of writing.entries()) {
    assert.equal(answers[index]?.held, null, query);
    assert.notEqual(answers[index]?.error ?? "", "", query);
  }
  assert.equal(answers.at(-1)?.held, true, "nothing was changed, and the next check is asked all the same");
});

Deno.test("a slow success check is given up after five seconds, the next is asked", async () => {
  await using db = await testDatabase("project");
  const began = performance.now();
  const [slow, next] = await ask(db, ["select pg_sleep(60) is null", "select true"]);
  const seconds = (performance.now() - began) / 1000;
  assert.match(slow?.error ?? "", /statement timeout/);
  assert.equal(next?.held, true);
  assert.ok(seconds > 4.9 && seconds < 60, `${seconds} s`);
});

Deno.test("a success check that ends its own session costs the look nothing", async () => {
  await using db = await testDatabase("project");
  await addJob(db);
  const [killed, next] = await ask(db, ["select pg_terminate_backend(pg_backend_pid())", "select true"]);
  assert.match(killed?.error ?? "", /connection was lost/);
  assert.deepEqual([next?.held, next?.error], [null, "not asked: the connection was lost"]);
});

Deno.test("a success check is asked after a new success only, or while it does not hold", async () => {
  await using db = await testDatabase("project");
  const succeeded = await addJob(db, { name: "succeeded" });
  const failed = await addJob(db, { name: "failed" });
  await addRun(db, succeeded);
  await addRun(db, failed, { status: "failed" });
  assert.deepEqual([succeeded, failed], [1, 2]);
  assert.deepEqual((await ask(db, ["select true", "select true"], "new success")).map(({ jobId }) => jobId), [
    1,
  ]);
  assert.deepEqual((await ask(db, ["select true", "select true"])).map(({ jobId }) => jobId), [1, 2]);
});
