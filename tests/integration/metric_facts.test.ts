import assert from "node:assert/strict";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { metricDefinition } from "../support/metrics.ts";
import type { MetricAnswer, MetricDefinition } from "../../supabase/functions/_shared/domain/metric.ts";
import { percentileCont } from "../../supabase/functions/_shared/rules/percentile.ts";
import {
  DEFAULT_METRIC_LIMITS,
  type MetricLimits,
  readMetrics,
} from "../../supabase/functions/_shared/sources/metric_facts.ts";

const CONNECT = { caCert: null, connectTimeoutSeconds: 5 };

async function ask(
  url: string,
  metrics: readonly (string | Partial<MetricDefinition>)[],
  limits: Partial<MetricLimits> = {},
): Promise<MetricAnswer[]> {
  const project = { name: "smoothed", databaseUrl: url, ref: null };
  const definitions = metrics.map((metric, index) =>
    metricDefinition({
      id: String(index),
      name: `metric_${index}`,
      ...(typeof metric === "string" ? { query: metric } : metric),
    })
  );
  return await readMetrics(project, definitions, CONNECT, { ...DEFAULT_METRIC_LIMITS, ...limits });
}

/** What an answer says: its numbers by their labels, or why there are none. */
function told(answer: MetricAnswer | undefined): unknown {
  switch (answer?.kind) {
    case "rows":
      return answer.rows.map(({ labels, value }) => answer.labelled ? [labels, value] : value);
    case "failed":
      return answer.error;
    case "not_asked":
      return answer.why;
    default:
      return answer?.missing;
  }
}

/** A role that may nothing but what is granted to it. */
async function loginRole(db: TestDatabase, grant: string) {
  const role = `reader_${crypto.randomUUID().slice(0, 8)}`;
  await db.admin.unsafe(`create role ${role} login password 'reader'; ${grant} ${role}`);
  const url = new URL(db.url);
  [url.username, url.password] = [role, "reader"];
  return {
    url: url.href,
    [Symbol.asyncDispose]: async () => {
      await db.admin.unsafe(`drop owned by ${role}; drop role ${role}`);
    },
  };
}

Deno.test("a metric is one number of any numeric type, or none", async () => {
  await using db = await testDatabase("project");
  const answers = await ask(db.url, [
    "select 7",
    "select 7.25; -- in percent",
    "select 9007199254740993::bigint",
    "select 1.5::real",
    "select '12345678901234567890.5'::numeric",
    "values (3)",
    "with x as (select 1 as n) select n + 1 from x -- a comment",
    "select null::integer",
    "select 1 where false",
    "select -0.5",
  ]);
  assert.deepEqual(answers.map(told), [
    [7],
    [7.25],
    [9007199254740992],
    [1.5],
    [12345678901234567000],
    [3],
    [2],
    [null],
    [],
    [-0.5],
  ]);
});

Deno.test("a metric is rows of labels and a number, in the order of the query", async () => {
  await using db = await testDatabase("project");
  const [answer, none, types] = await ask(db.url, [
    "select * from (values ('small', 'ada', 10), ('large', null, 20), ('small', 'bob', null)) as t(model, actor, n) order by n",
    "select 'x' as model, 1 where false",
    "select true as active, 5 as bucket, date '2026-11-21' as day, '{1,2}'::integer[] as list, 1.5",
  ]);
  assert.deepEqual(told(answer), [
    [{ model: "small", actor: "ada" }, 10],
    [{ model: "large", actor: "" }, 20],
    [{ model: "small", actor: "bob" }, null],
  ]);
  assert.deepEqual([none?.kind === "rows" && none.labelled, told(none)], [true, []]);
  assert.deepEqual(told(types), [[{ active: "true", bucket: "5", day: "2026-11-21", list: "{1,2}" }, 1.5]]);
});

Deno.test("a query that does not answer as agreed is told what is wrong with it", async () => {
  await using db = await testDatabase("project");
  const wrong: [query: string, why: RegExp][] = [
    ["select 'many'", /its last column \("\?column\?"\) must be a number/],
    ["select interval '5 minutes' as lag", /its last column \("lag"\) must be a number/],
    ["select 5 as n, 'x' as model", /its last column \("model"\) must be a number/],
    ["select true", /must be a number/],
    ["select generate_series(1, 2)", /more than one row, without a label/],
    ["select 'NaN'::float8", /it answers NaN, which is no number/],
    ["select 'Infinity'::numeric", /it answers Infinity, which is no number/],
    ["select ('1' || repeat('0', 199))::numeric", /it answers 1e\+199; numbers may be as large as 1e\+100/],
    ["select '-1.7e308'::float8", /it answers -1\.7e\+308; numbers may/],
    ["select ('1' || repeat('0', 400))::numeric", /it answers Infinity, which is no number/],
    ["select 'a', 1", /its label column "\?column\?" needs a name/],
    ["select 'a' as x, 'b' as x, 1", /two of its label columns are named "x"/],
    ["select 1 as a, 2 as b, 3 as c, 4 as d, 5 as e, 6 as f, 7", /it has 6 labels; 5 are allowed/],
    ["select 'a' as x, generate_series(1, 2)", /two of its rows have the same labels: \{"x":"a"\}/],
    ["select g as x, g from generate_series(1, 101) as g", /more than 100 rows/],
    ["select * from nowhere", /relation "nowhere" does not exist/],
    ["select 1/0", /division by zero/],
    ["select", /must be a query that answers rows/],
    ["selekt 1", /syntax error/],
  ];
  const answers = await ask(db.url, wrong.map(([query]) => query));
  for (const [index, [query, why]] of wrong.entries()) {
    assert.equal(answers[index]?.kind, "failed", query);
    assert.match(String(told(answers[index])), why, query);
  }
  const rows = await ask(db.url, ["select g as x, g from generate_series(1, 100) as g"]);
  assert.equal((told(rows[0]) as unknown[]).length, 100);
});

Deno.test("a metric that writes, or holds more than one statement, is refused and changes nothing", async () => {
  await using db = await testDatabase("project");
  await db.sql`create table precious as select 1 as id`;
  await db.sql`create function destroy() returns integer language plpgsql as $$
    begin delete from precious; return 1; end $$`;
  const writing = [
    "select destroy()",
    "delete from precious returning id",
    "with gone as (delete from precious returning 1) select count(*) from gone",
    "select 1; commit; drop table precious",
    "select 1) as q; drop table precious; --",
    "commit; select 1",
    "set transaction read write",
    "do $$ begin commit; delete from precious; end $$",
    "select set_config('transaction_read_only', 'off', false)::text = 'off', destroy()",
    "copy (select 1) to stdout",
    "explain analyze select destroy()",
    "select 1 from precious for update",
    "",
  ];
  const answers = await ask(db.url, [...writing, "select count(*) from precious"]);
  for (const [index, query] of writing.entries()) {
    assert.equal(answers[index]?.kind, "failed", `${query}: ${told(answers[index])}`);
  }
  assert.deepEqual(told(answers.at(-1)), [1]);
});

Deno.test("one slow query is given up at its timeout and delays no other beyond that", async () => {
  await using db = await testDatabase("project");
  const answers = await ask(db.url, [
    "select 1",
    { query: "select count(*) from pg_sleep(60)", timeoutSeconds: 1 },
    "select 1/0",
    "select 2",
  ]);
  assert.deepEqual(answers.map(told), [
    [1],
    "canceling statement due to statement timeout",
    "division by zero",
    [2],
  ]);
});

Deno.test("all metrics of a project together have a budget, and what is left over says so", async () => {
  await using db = await testDatabase("project");
  const slow = { query: "select count(*) from pg_sleep(60)", timeoutSeconds: 30 };
  const answers = await ask(db.url, ["select 1", slow, "select 2", "select 3"], { budgetMs: 1_000 });
  assert.deepEqual(answers.map(({ kind }) => kind), ["rows", "failed", "not_asked", "not_asked"]);
  assert.match(String(told(answers[1])), /statement timeout/);
  assert.equal(told(answers[3]), "the metrics before it took too long");
});

Deno.test("a query that waits for a lock is given up, and one that ends its session is the last to be asked", async () => {
  await using db = await testDatabase("project");
  await db.sql`create table busy (id integer)`;
  const holder = await db.sql.reserve();
  try {
    await holder.unsafe("begin; lock table busy").simple();
    const [waits, next] = await ask(db.url, [
      { query: "select count(*) from busy", timeoutSeconds: 20 },
      "select 1",
    ]);
    assert.match(String(told(waits)), /lock timeout/);
    assert.deepEqual(told(next), [1]);
  } finally {
    await holder.unsafe("rollback");
    holder.release();
  }
  const ended = await ask(db.url, [
    "select 1",
    "select 1 from pg_terminate_backend(pg_backend_pid())",
    "select 2",
  ]);
  assert.deepEqual(ended.map(told), [
    [1],
    "the connection was lost while it was asked",
    'the connection was lost by metric "metric_1"',
  ]);
});

Deno.test("a metric whose tables a project lacks does not apply, also where their schema may not be used", async () => {
  await using db = await testDatabase("project");
  await db.admin`create schema closed`;
  await db.admin`create table closed.secrets (id integer)`;
  await using reader = await loginRole(db, "grant usage on schema cron to");
  const answers = await ask(reader.url, [
    { query: "select count(*) from public.ingest_jobs", needs: ["public.ingest_jobs"] },
    { query: "select 0", needs: ["cron.job", "cron.job_run_details"] },
    { query: "select 1", needs: ["closed.secrets", "public.nowhere"] },
    { query: "select count(*) from closed.secrets", needs: ["closed.secrets"] },
  ]);
  assert.deepEqual(answers.map(told), [
    ["public.ingest_jobs"],
    [0],
    ["public.nowhere"],
    "permission denied for schema closed",
  ]);
});

Deno.test("rows that row security hides from the role are an error, never a smaller number", async () => {
  await using db = await testDatabase("project");
  await db.sql`create table orders as select generate_series(1, 5) as id`;
  await db.sql`alter table orders enable row level security`;
  await using reader = await loginRole(db, "grant select on orders to");
  const answers = await ask(reader.url, ["select count(*) from orders", "select 1"]);
  assert.deepEqual(answers.map(told), [
    'query would be affected by row-level security policy for table "orders"',
    [1],
  ]);
});

Deno.test("long labels are cut where they are, before they fill the function's memory", async () => {
  await using db = await testDatabase("project");
  const [answer] = await ask(db.url, [
    "select repeat(g::text, 20000000) as text, g from generate_series(1, 9) as g",
  ]);
  assert.equal(answer?.kind, "rows");
  for (const { labels } of answer?.kind === "rows" ? answer.rows : []) assert.equal(labels.text?.length, 200);
});

Deno.test("percentiles agree with Postgres' percentile_cont", async () => {
  await using db = await testDatabase("project");
  const fractions = [0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1];
  const lists = [
    [5],
    [1, 2],
    [3, 3, 3, 9],
    ...Array.from({ length: 40 }, (_, index) =>
      // a fixed walk through ugly numbers
      Array.from({ length: index + 3 }, (_, n) => Math.sin((index + 1) * (n + 7.3)) * 10 ** (n % 9 - 4))),
  ];
  for (const list of lists) {
    const [row] = await db.sql`
      select percentile_cont(${fractions}::float8[]) within group (order by n) as answers
      from json_array_elements_text(${
      JSON.stringify(list)
    }::text::json) as x(t), lateral (select t::float8) as y(n)`;
    const theirs: number[] = row?.answers;
    for (const [index, fraction] of fractions.entries()) {
      const ours = percentileCont(list, fraction) ?? NaN;
      const theirOne = Number(theirs[index]);
      assert.ok(
        Math.abs(ours - theirOne) <= 1e-12 * Math.max(1, Math.abs(theirOne)),
        `${fraction} of ${list}`,
      );
    }
  }
});
