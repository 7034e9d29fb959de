/** A hub whose connection or server goes away while `send-alert` works: a clear error, nothing lost, next time all of it. */
import assert from "node:assert/strict";
import type postgres from "postgres";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { openHub } from "../../supabase/functions/_shared/hub/client.ts";
import {
  addDiscord,
  addIncident,
  addTelegram,
  makeDue,
  onStage,
  owe,
  type Stage,
} from "../support/outbox.ts";
import { watchSql } from "../support/watched_sql.ts";

/** Ends the connection that `send-alert` works over, as a failover or an administrator does. */
async function cutConnection({ sql }: Stage): Promise<void> {
  await sql`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and application_name = 'supabase-job-monitor hub'`;
}

async function expire({ sql }: Stage): Promise<void> {
  await sql`update alert_deliveries set leased_until = now() - interval '1 second' where leased_until is not null`;
}

async function oweThree(stage: Stage): Promise<void> {
  const [discord, telegram] = [await addDiscord(stage), await addTelegram(stage)];
  await owe(stage, [await addIncident(stage, { code: "missed" })], { config: discord });
  await owe(stage, [await addIncident(stage)], { config: discord });
  await owe(stage, [await addIncident(stage)], { config: telegram, channel: "telegram" });
}

/** Unforeseen rejections would end the test's process by themselves. */
async function outcomeOf(run: Promise<unknown>): Promise<string> {
  try {
    await run;
    return "done";
  } catch (error) {
    assert.ok(error instanceof AppError, String(error));
    return error.code;
  }
}

const STEPS = [
  "mark_unroutable",
  "policy_view",
  "apply_policy",
  "claim_deliveries",
  "store_rendered",
  "settle_delivery",
  "count_waiting",
];

for (const step of STEPS) {
  for (const when of ["before", "after"] as const) {
    Deno.test(`a connection cut ${when} ${step} is an error with a name, or none, and the next run delivers the rest`, () =>
      onStage(async (stage) => {
        await oweThree(stage);
        // news that the policy has yet to let through
        await stage.sql`update alert_deliveries set admitted_at = null`;
        let cuts = 0;
        const cut = async (query: string) => {
          if (query.includes(`monitoring.${step}`) && ++cuts === 1) await cutConnection(stage);
        };
        const outcome = await outcomeOf(stage.run({}, { sql: watchSql(stage.hub, { [when]: cut }) }));
        assert.equal(cuts > 0, true, "the step was reached");
        assert.match(outcome, /^(done|hub_unreachable)$/);
        await expire(stage);
        await makeDue(stage);
        await stage.run();
        const sent = await stage.sql`select 1 from alert_deliveries where state = 'sent'`;
        assert.equal(sent.length, 3);
        assert.equal(
          stage.sink.deliveries().filter(({ accepted }) => accepted).length,
          3,
          "each arrived once",
        );
      }));
  }
}

Deno.test("a dry run whose connection is cut changes nothing and leaves no transaction open", () =>
  onStage(async (stage) => {
    await oweThree(stage);
    const before = await stage.sql`select * from alert_deliveries order by id`;
    const cut = (query: string) => query.includes("preview_deliveries") ? cutConnection(stage) : undefined;
    for (const watch of [{ before: cut }, { after: cut }]) {
      assert.match(
        await outcomeOf(stage.run({ dry_run: true }, { sql: watchSql(stage.hub, watch) })),
        /^(done|hub_unreachable)$/,
      );
    }
    assert.deepEqual(await stage.sql`select * from alert_deliveries order by id`, before);
    assert.equal((await stage.run()).sent, 3);
  }));

/** A server that can go away and come back: what connects to it is passed on to the real one. */
function unsteadyServer(databaseUrl: string) {
  const upstream = new URL(databaseUrl);
  const target = { hostname: upstream.hostname, port: Number(upstream.port) };
  const open = new Set<Deno.Conn>();
  let listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const serve = async (from: Deno.Listener) => {
    for await (const client of from) {
      const server = await Deno.connect(target);
      for (const connection of [client, server]) open.add(connection);
      client.readable.pipeTo(server.writable).catch(() => {});
      server.readable.pipeTo(client.writable).catch(() => {});
    }
  };
  void serve(listener);
  const stop = () => {
    listener.close();
    for (const connection of open) {
      try {
        connection.close();
      } catch {
        // its other end has closed it
      }
    }
    open.clear();
  };
  const start = () => {
    listener = Deno.listen({ hostname: "127.0.0.1", port });
    void serve(listener);
  };
  const url = new URL(databaseUrl);
  url.port = String(port);
  return { url: url.href, stop, start };
}

async function withUnsteadyHub(
  stage: Stage,
  use: (hub: postgres.Sql, server: ReturnType<typeof unsteadyServer>) => Promise<void>,
): Promise<void> {
  const server = unsteadyServer(stage.databaseUrl);
  const hub = openHub({ databaseUrl: server.url, caCert: null });
  try {
    await use(hub, server);
  } finally {
    await hub.end({ timeout: 1 });
    server.stop();
  }
}

for (const step of ["claim_deliveries", "store_rendered", "settle_delivery"]) {
  Deno.test(`a server that stops before ${step} is "hub_unreachable", and once it is back all is delivered`, () =>
    onStage(async (stage) => {
      await oweThree(stage);
      await withUnsteadyHub(stage, async (hub, server) => {
        let stopped = false;
        const stop = (query: string) => {
          if (!stopped && query.includes(`monitoring.${step}`)) {
            stopped = true;
            server.stop();
          }
        };
        assert.equal(
          await outcomeOf(stage.run({}, { sql: watchSql(hub, { before: stop }) })),
          "hub_unreachable",
        );
        server.start();
        await expire(stage);
        await makeDue(stage);
        await stage.run({}, { sql: hub });
        const sent = await stage.sql`select 1 from alert_deliveries where state = 'sent'`;
        assert.equal(sent.length, 3);
      });
    }));
}
