/** A watched project that watches the hub: what docs/DEPLOY.md has for that, run as it is written there. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { startPgNetWorker } from "../../scripts/local/pg_net_worker.ts";
import { readCronFacts } from "../../supabase/functions/_shared/sources/cron_facts.ts";
import { startSink } from "../fakes/sink.ts";
import { readBlocks } from "../support/markdown.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { waitFor } from "../support/wait_for.ts";

const PAGE = await Deno.readTextFile(new URL("../../docs/DEPLOY.md", import.meta.url));

/** The SQL block of the page that has this in it. */
function blockWith(text: string): string {
  const found = readBlocks(PAGE).filter((block) => block.language === "sql" && block.text.includes(text));
  assert.equal(found.length, 1, text);
  return found[0]?.text ?? "";
}

const INSTALL = blockWith("create schema monitoring_client");
const GRANT = blockWith("grant execute on function monitoring_client.hub_was_here() to job_monitor");
const REMOVE = blockWith("drop schema monitoring_client cascade");

/** A project that watches the hub and tells this webhook. A hub's test database has pg_net's and Vault's stand-ins. */
async function watchingProject(webhookUrl = "http://127.0.0.1:9/services/x"): Promise<TestDatabase> {
  const db = await testDatabase("hub");
  const filled = INSTALL.replace("<URL of the webhook>", webhookUrl).replace(
    "<name of this project>",
    "smoothed",
  );
  await db.sql.unsafe(filled).simple();
  return db;
}

function look(url: string, heartbeat = true) {
  return readCronFacts(
    { name: "smoothed", ref: null, databaseUrl: url },
    {
      cursor: null,
      openRunIds: [],
      heartbeat,
      successChecks: [{ jobId: 1, sql: "select true", when: "always" }],
    },
    { caCert: null, connectTimeoutSeconds: 5 },
  );
}

/** Minutes since the project last heard of the hub, after `minutes` without it. */
async function away({ sql }: TestDatabase, minutes: number): Promise<void> {
  await sql`update monitoring_client.hub_watch set seen_at = now() - make_interval(mins => ${minutes})`;
}

async function heardLately({ sql }: TestDatabase): Promise<boolean> {
  const [row] =
    await sql`select seen_at > now() - interval '1 minute' as lately from monitoring_client.hub_watch`;
  return row?.lately;
}

async function tick({ sql }: TestDatabase): Promise<string> {
  const [row] = await sql<{ said: string }[]>`select monitoring_client.watch_hub() as said`;
  return row?.said ?? "";
}

async function queued({ admin }: TestDatabase) {
  return (await admin<{ id: string; url: string; body: Record<string, unknown> }[]>`
    select id, url, convert_from(body, 'UTF8')::jsonb as body from net.http_request_queue order by id`)
    .map((row) => ({ ...row }));
}

/** As pg_net's worker does: the oldest request is answered. */
async function answer({ admin }: TestDatabase, status: number | null): Promise<void> {
  await admin`
    with taken as (
      delete from net.http_request_queue where id = (select min(id) from net.http_request_queue) returning id
    )
    insert into net._http_response (id, status_code, error_msg)
    select id, ${status}, case when ${status}::int is null then 'Timeout' end from taken`;
}

Deno.test("a check leaves a heartbeat where the project wants one, and nowhere else", async () => {
  await using db = await watchingProject();
  await away(db, 30);
  await look(db.url, false);
  assert.equal(await heardLately(db), false, "a look that is no check leaves none");
  const facts = await look(db.url);
  assert.equal(await heardLately(db), true);
  assert.deepEqual(facts.successChecks.map(({ held }) => held), [true], "the session goes on");
  await db.sql.unsafe(REMOVE).simple();
  await look(db.url);
});

Deno.test("a role of its own leaves the heartbeat with EXECUTE on one function, read-only as it is otherwise", async () => {
  await using db = await watchingProject();
  const [role, url] = ["job_monitor", new URL(db.url)];
  [url.username, url.password] = [role, "x"];
  // roles are the cluster's: other test files may have one of this name
  const name = `job_monitor_${crypto.randomUUID().slice(0, 8)}`;
  url.username = name;
  await db.admin.unsafe(`
    create role ${name} login bypassrls password 'x';
    grant usage on schema cron to ${name};
    grant select on cron.job, cron.job_run_details to ${name};
    alter role ${name} set default_transaction_read_only = on`).simple();
  try {
    await away(db, 30);
    await look(url.href);
    assert.equal(await heardLately(db), false, "without the privilege it is not even tried");
    await db.sql.unsafe(GRANT.replaceAll("job_monitor", name)).simple();
    await look(url.href);
    assert.equal(await heardLately(db), true);
    const asRole = postgres(url.href, { max: 1 });
    try {
      await asRole`set default_transaction_read_only = off`;
      const forbidden = [
        "select * from monitoring_client.hub_watch",
        "update monitoring_client.hub_watch set told = 'up'",
        "select monitoring_client.watch_hub()",
      ];
      for (const query of forbidden) await assert.rejects(asRole.unsafe(query), { code: "42501" }, query);
    } finally {
      await asRole.end();
    }
  } finally {
    await db.admin.unsafe(`drop owned by ${name}; drop role ${name}`).simple();
  }
});

Deno.test("a heartbeat that fails, hangs or runs with our rights changes nothing about the check", async (t) => {
  const functions: [what: string, text: string][] = [
    ["fails", "language plpgsql security definer as $$ begin raise exception 'no'; end $$"],
    ["hangs", "language sql security definer as $$ select from pg_sleep(60) $$"],
    [
      "ends the session",
      "language sql security definer as $$ select from pg_terminate_backend(pg_backend_pid()) $$",
    ],
    ["would run as us", "language sql as $$ update monitoring_client.hub_watch set seen_at = now() $$"],
  ];
  for (const [what, text] of functions) {
    await t.step(what, async () => {
      await using db = await watchingProject();
      await away(db, 30);
      await db.sql.unsafe(`create or replace function monitoring_client.hub_was_here() returns void ${text}`);
      const facts = await look(db.url);
      assert.equal(facts.jobs.length, 1);
      assert.equal(await heardLately(db), false);
      assert.equal(facts.successChecks[0]?.held, what === "ends the session" ? null : true);
    });
  }
});

Deno.test("it says once that nobody looks any more, and once that somebody does again", async () => {
  await using db = await watchingProject("https://discord.com/api/webhooks/1/x");
  assert.equal(await tick(db), "up", "it has just been set up");
  await away(db, 44);
  assert.equal(await tick(db), "up");
  await away(db, 50);
  assert.equal(await tick(db), "says down");
  assert.equal(await tick(db), "waits for an answer");
  const [down, ...more] = await queued(db);
  assert.deepEqual([down?.url, more], ["https://discord.com/api/webhooks/1/x", []]);
  assert.match(
    String(down?.body.content),
    /^🔴 NOT WATCHED: nobody has looked at the jobs of smoothed since 20\d\d-/,
  );
  assert.deepEqual(down?.body.allowed_mentions, { parse: [] });
  await answer(db, 204);
  for (let minute = 0; minute < 3; minute++) assert.equal(await tick(db), "down");
  assert.deepEqual(await queued(db), []);

  await look(db.url);
  assert.equal(await tick(db), "says up");
  assert.match(
    String((await queued(db))[0]?.body.content),
    /^🟢 WATCHED AGAIN: .* of smoothed again\. It was away from/,
  );
  await answer(db, 204);
  assert.equal(await tick(db), "up");
  assert.equal(await tick(db), "up");
  assert.deepEqual(await queued(db), []);
});

Deno.test("what the webhook does not take, or nobody answers, is tried again after 10 minutes", async () => {
  await using db = await watchingProject();
  const later = () =>
    db.sql`update monitoring_client.hub_watch set requested_at = now() - interval '11 minutes'`;
  await away(db, 50);
  await tick(db);
  await answer(db, 500);
  assert.equal(await tick(db), "refused, tried again later");
  await later();
  await db.admin`update net._http_response set created = now() - interval '11 minutes'`;
  assert.equal(await tick(db), "says down");
  // pg_net loses both tables in a crash
  await db.admin`truncate net.http_request_queue`;
  assert.equal(await tick(db), "waits for an answer");
  await later();
  assert.equal(await tick(db), "says down");
  await answer(db, 200);
  assert.equal(await tick(db), "down");
});

Deno.test("an outage that ends before anybody was told of it is not told", async () => {
  await using db = await watchingProject();
  await away(db, 50);
  await tick(db);
  await answer(db, null);
  await look(db.url);
  await db.sql`update monitoring_client.hub_watch set requested_at = now() - interval '11 minutes'`;
  assert.equal(await tick(db), "up");
  assert.deepEqual(await queued(db), []);
});

Deno.test("a response that belongs to an older request of the same number is not believed", async () => {
  await using db = await watchingProject();
  await away(db, 50);
  await tick(db);
  await db.admin`
    insert into net._http_response (id, status_code, created)
    select request_id, 200, now() - interval '2 hours' from monitoring_client.hub_watch`;
  assert.equal(await tick(db), "waits for an answer");
});

Deno.test("Discord, Slack and Telegram each take what it says, through pg_net's worker", async () => {
  const sink = await startSink();
  try {
    const { slack, telegram } = sink.targets;
    const urls = {
      discord: sink.discordWebhookUrl,
      slack: slack.webhookUrl ?? "",
      telegram: `${sink.url}/bot${telegram.botToken}/sendMessage?chat_id=${telegram.chatId}`,
    };
    for (const [channel, url] of Object.entries(urls)) {
      await using db = await watchingProject(url);
      await using worker = await workerFor(db);
      assert.ok(worker);
      await away(db, 50);
      await tick(db);
      await waitFor(async () => await tick(db) === "down", { what: `${channel}'s answer`, withinMs: 60_000 });
      const told = sink.deliveries().filter((delivery) => delivery.channel === channel);
      assert.deepEqual(told.map(({ accepted }) => accepted), [true], JSON.stringify(told));
      assert.match(told[0]?.text ?? "", /NOT WATCHED/);
    }
  } finally {
    await sink.close();
  }
});

async function workerFor(db: TestDatabase): Promise<AsyncDisposable> {
  const worker = await startPgNetWorker({ adminDbUrl: db.adminUrl });
  return { [Symbol.asyncDispose]: () => worker.stop() };
}

Deno.test("without its secret it fails, for the hub and pg_cron to see", async () => {
  await using db = await watchingProject();
  await db.sql`delete from vault.secrets where name = 'hub_watch_url'`;
  await away(db, 50);
  await assert.rejects(tick(db), /cannot say that the hub is down: the Vault has no secret "hub_watch_url"/);
});

Deno.test("it is scheduled every five minutes, and its removal leaves nothing", async () => {
  await using db = await watchingProject();
  const jobs = () => db.sql`select schedule, command from cron.job where jobname = 'watch-hub'`;
  assert.deepEqual((await jobs()).map((job) => ({ ...job })), [{
    schedule: "*/5 * * * *",
    command: "select monitoring_client.watch_hub()",
  }]);
  await db.sql.unsafe(REMOVE).simple();
  assert.deepEqual([...await jobs()], []);
  const left = await db.sql`select from pg_namespace where nspname = 'monitoring_client'`;
  assert.deepEqual([...left, ...await db.sql`select from vault.secrets where name = 'hub_watch_url'`], []);
});
