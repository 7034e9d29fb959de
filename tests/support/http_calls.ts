/** A project with pg_net and the monitor's wrapper, and a server for its jobs to call. */
import { startPgNetWorker } from "../../scripts/local/pg_net_worker.ts";
import { hubStandInsSql } from "../../scripts/local/hub_stand_ins.ts";
import { REFUSING_HOST } from "./endpoint.ts";
import type { TestDatabase } from "./postgres.ts";
import { waitFor } from "./wait_for.ts";

/** What the owner of a watched project runs there. */
export const INSTALL_SQL = await Deno.readTextFile(
  new URL("../../supabase/watched_project/install_http_calls.sql", import.meta.url),
);
/** And what takes it away. */
export const UNINSTALL_SQL = await Deno.readTextFile(
  new URL("../../supabase/watched_project/uninstall_http_calls.sql", import.meta.url),
);

/** Gives a project pg_net (the stand-in) and the wrapper. */
export async function installHttpCalls(db: Pick<TestDatabase, "sql" | "admin">): Promise<void> {
  await db.admin.unsafe(await hubStandInsSql());
  await db.sql.unsafe(INSTALL_SQL);
}

/** pg_net's worker at work. */
export async function startWorker(db: Pick<TestDatabase, "adminUrl">): Promise<AsyncDisposable> {
  const worker = await startPgNetWorker({ adminDbUrl: db.adminUrl });
  return { [Symbol.asyncDispose]: () => worker.stop() };
}

/** A server that answers what its path says: `/functions/v1/500`, `/ok-false`, `/held` (only after `release()`). */
export function startServer(): { url: string; refusedUrl: string; release(): void } & AsyncDisposable {
  const held = Promise.withResolvers<void>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const path = new URL(request.url).pathname.replace("/functions/v1", "");
    if (path === "/held") await held.promise;
    if (path === "/ok-false") return Response.json({ ok: false, error: "no rows, password=hunter2secret" });
    const status = Number(path.slice(1));
    return status >= 200 ? new Response(`status ${status}`, { status }) : Response.json({ ok: true });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/functions/v1`,
    refusedUrl: `http://${REFUSING_HOST}/functions/v1`,
    release: held.resolve,
    [Symbol.asyncDispose]: async () => {
      held.resolve();
      await server.shutdown();
    },
  };
}

/** Calls as a job's command does, and answers pg_net's request id. */
export async function callAs(
  db: Pick<TestDatabase, "sql">,
  job: string,
  url: string,
  timeoutMs = 5_000,
): Promise<number> {
  const [row] = await db.sql`
    select monitored.http_post(${job}, ${url}, timeout_milliseconds => ${timeoutMs})::int as id`;
  return row?.["id"];
}

/** Waits until pg_net's queue is empty. */
export async function untilAnswered(db: Pick<TestDatabase, "admin">): Promise<void> {
  await waitFor(async () => {
    const [row] = await db.admin`select count(*)::int as n from net.http_request_queue`;
    return row?.["n"] === 0;
  }, { what: "pg_net's queue to be empty", withinMs: 60_000 });
}
