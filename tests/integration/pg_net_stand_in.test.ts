/** The stand-ins for pg_net and Vault do what the real ones do, as far as anything here relies on it. */
import assert from "node:assert/strict";
import { startPgNetWorker } from "../../scripts/local/pg_net_worker.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { waitFor } from "../support/wait_for.ts";

/** Answers what it was asked; `/held` only after `release()`. */
function startEcho(): { url: string; asked: string[]; release(): void } & AsyncDisposable {
  const held = Promise.withResolvers<void>();
  const asked: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    asked.push(pathname);
    if (pathname === "/held") await held.promise;
    if (pathname === "/moved") return Response.redirect(new URL("/target", request.url), 302);
    if (pathname === "/empty") return new Response(null, { status: 503 });
    const headers = Object.fromEntries(request.headers);
    return Response.json({ method: request.method, pathname, search, headers, body: await request.text() });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    asked,
    release: held.resolve,
    [Symbol.asyncDispose]: async () => {
      held.resolve();
      await server.shutdown();
    },
  };
}

/** A TCP server that does one thing with each connection. */
function startRaw(act: (connection: Deno.TcpConn) => Promise<void>): { url: string } & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const connection of listener) await act(connection).finally(() => connection.close());
  })();
  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await serving.catch(() => {});
    },
  };
}

interface PgNetResponse {
  status_code: number | null;
  content_type: string | null;
  headers: Record<string, string> | null;
  content: string | null;
  timed_out: boolean;
  error_msg: string | null;
  created: Date;
}

async function response(db: TestDatabase, id: string): Promise<PgNetResponse> {
  return await waitFor(async () => {
    const [row] = await db.sql<PgNetResponse[]>`select * from net._http_response where id = ${id}`;
    return row;
  }, { what: `the response to request ${id}`, withinMs: 60_000, everyMs: 20 });
}

async function startWorker(db: TestDatabase, options = {}): Promise<AsyncDisposable> {
  const worker = await startPgNetWorker({ adminDbUrl: db.adminUrl, ...options });
  return { [Symbol.asyncDispose]: () => worker.stop() };
}

async function post(db: TestDatabase, url: string, timeoutMs = 5_000): Promise<string> {
  const [row] = await db.sql`select net.http_post(url := ${url}, timeout_milliseconds := ${timeoutMs}) as id`;
  return row!["id"] as string;
}

Deno.test("net.http_post() sends body, query, headers and pg_net's name, and keeps the answer", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  await using _worker = await startWorker(db);
  const [row] = await db.sql`
    select net.http_post(
      ${`${echo.url}/a?x=1`}, '{"n": 1}', '{"q": "ü &"}', '{"apikey": "k"}'
    ) as id`;
  const got = await response(db, row!["id"]);
  assert.equal(got.status_code, 200);
  assert.equal(got.content_type, "application/json");
  assert.equal(got.timed_out, false);
  assert.equal(got.error_msg, null);
  const sent = JSON.parse(got.content ?? "");
  assert.deepEqual([sent.method, sent.pathname, sent.search, sent.body], [
    "POST",
    "/a",
    "?x=1&q=%C3%BC%20%26",
    '{"n": 1}',
  ]);
  assert.equal(sent.headers["apikey"], "k");
  assert.equal(sent.headers["content-type"], "application/json");
  assert.match(sent.headers["user-agent"], /^pg_net\//);
});

Deno.test("net.http_get() and net.http_delete() do as they are called; redirects are followed", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  await using _worker = await startWorker(db);
  const [row] = await db.sql`
    select net.http_get(${`${echo.url}/moved`}) as moved,
      net.http_delete(${`${echo.url}/d`}, body := '{"gone": true}') as deleted,
      net.http_get(${`${echo.url}/empty`}) as empty`;
  assert.equal(JSON.parse((await response(db, row!["moved"])).content ?? "").pathname, "/target");
  const deleted = JSON.parse((await response(db, row!["deleted"])).content ?? "");
  assert.deepEqual([deleted.method, deleted.body], ["DELETE", '{"gone": true}']);
  const empty = await response(db, row!["empty"]);
  assert.deepEqual([empty.status_code, empty.content], [503, null]);
});

Deno.test("a request is only sent when its transaction commits", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  await using _worker = await startWorker(db);
  await db.sql.begin(async (sql) => {
    await sql`select net.http_post(${`${echo.url}/undone`})`;
    throw new Error("undo");
  }).catch(() => {});
  await response(db, await post(db, `${echo.url}/done`));
  assert.deepEqual(echo.asked, ["/done"]);
});

Deno.test("nothing else is sent, and no response is seen, until the slowest request of a batch ends", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  const [row] = await db.sql`
    select net.http_post(${`${echo.url}/held`}) as held, net.http_post(${`${echo.url}/fast`}) as fast`;
  await using _worker = await startWorker(db);
  await waitFor(() => echo.asked.length === 2, { what: "both requests", withinMs: 60_000 });

  const later = await post(db, `${echo.url}/later`);
  // the worker has been woken by now, and would have sent it
  await db.admin`select pg_notify('pg_net_stand_in', 'wake')`;
  assert.equal((await db.sql`select from net._http_response`).length, 0);
  assert.equal((await db.sql`select from net.http_request_queue`).length, 3, "a batch is one transaction");
  assert(!echo.asked.includes("/later"));

  echo.release();
  const [held, fast, last] = await Promise.all(
    [row!["held"], row!["fast"], later].map((id) => response(db, id)),
  );
  assert.deepEqual(held!.created, fast!.created, "created is the start of the batch");
  assert(last!.created > held!.created);
});

Deno.test("a batch holds no more than its size, oldest first", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  await db.sql`select net.http_get(${echo.url} || '/' || n) from generate_series(1, 5) as n`;
  await using _worker = await startWorker(db, { batchSize: 2 });
  const batches = await waitFor(async () => {
    const rows = await db.sql<{ ids: string[] }[]>`
      select array_agg(id::int order by id) as ids from net._http_response group by created order by created`;
    return rows.length === 3 && rows.map((batch) => batch.ids);
  }, { what: "three batches", withinMs: 60_000 });
  assert.deepEqual(batches, [[1, 2], [3, 4], [5]]);
});

Deno.test("a timeout has no status, is marked as such and says how long it took", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  await using _worker = await startWorker(db);
  const got = await response(db, await post(db, `${echo.url}/held`, 150));
  assert.deepEqual([got.status_code, got.timed_out, got.content], [null, true, null]);
  assert.match(
    got.error_msg ?? "",
    /^Timeout of 150 ms reached\. Total time: \d{3,}\.\d{6} ms \(DNS time: /,
  );
});

Deno.test("a request that gets no answer has libcurl's reason and no status", async () => {
  await using db = await testDatabase("hub");
  await using silent = startRaw(() => Promise.resolve());
  await using strange = startRaw(async (connection) => {
    await connection.write(new TextEncoder().encode("good morning\r\n\r\n"));
  });
  const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  closed.close();
  await using _worker = await startWorker(db);
  const reasons: [string, string][] = [
    [`http://127.0.0.1:${closed.addr.port}/`, "Couldn't connect to server"],
    ["http://nowhere.invalid/", "Couldn't resolve host name"],
    [`${silent.url}/`, "Server returned nothing (no headers, no data)"],
    [`${strange.url}/`, "Weird server reply"],
  ];
  for (const [url, reason] of reasons) {
    const got = await response(db, await post(db, url));
    assert.deepEqual([got.status_code, got.timed_out, got.error_msg], [null, false, reason], url);
  }
});

Deno.test("responses are removed when they are older than the time to live", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  await db.sql`insert into net._http_response (id, created) values (-1, now() - interval '7 hours')`;
  await db.sql`insert into net._http_response (id, created) values (-2, now() - interval '5 hours')`;
  await using _worker = await startWorker(db);
  await response(db, await post(db, `${echo.url}/a`));
  const left = await db.sql`select id::int from net._http_response where id < 0`;
  assert.deepEqual(left.map((row) => row["id"]), [-2]);
});

Deno.test("a stopped worker breaks off its batch, whose requests stay queued for the next", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  const worker = await startPgNetWorker({ adminDbUrl: db.adminUrl });
  const id = await post(db, `${echo.url}/held`);
  await waitFor(() => echo.asked.length === 1, { what: "the request", withinMs: 60_000 });
  await worker.stop();
  assert.equal((await db.sql`select from net.http_request_queue`).length, 1);
  echo.release();
  await using _again = await startWorker(db);
  assert.equal((await response(db, id)).status_code, 200);
});

Deno.test("the worker goes on when its connections were cut", async () => {
  await using db = await testDatabase("hub");
  await using echo = startEcho();
  await using _worker = await startWorker(db);
  await response(db, await post(db, `${echo.url}/before`));
  await db.admin`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'pg_net stand-in worker' and datname = current_database()`;
  assert.equal((await response(db, await post(db, `${echo.url}/after`))).status_code, 200);
});

Deno.test("net.check_worker_is_up() raises while there is no worker", async () => {
  await using db = await testDatabase("hub");
  await assert.rejects(db.sql`select net.check_worker_is_up()`, /pg_net background worker is not up/);
  await using _worker = await startWorker(db);
  await db.sql`select net.wait_until_running(), net.check_worker_is_up(), net.worker_restart()`;
});

Deno.test("what cannot be sent is refused when it is queued", async () => {
  await using db = await testDatabase("hub");
  await assert.rejects(db.sql`select net.http_get('/path')`, /invalid URL "\/path"/);
  await assert.rejects(db.sql`select net.http_get('127.0.0.1:80')`, /invalid URL/);
  await assert.rejects(db.sql`select net.http_get('mailto:a@b')`, /Unsupported URL scheme/);
  await assert.rejects(db.sql`select net.http_get(null)`, /null value in column "url"/);
  await assert.rejects(
    db.sql`select net.http_post('http://a.b', headers := '{"content-type": "text/plain"}')`,
    /Content-Type header must be "application\/json"/,
  );
  assert.equal((await db.sql`select from net.http_request_queue`).length, 0);
});

Deno.test("any role may read the queue, as with the real pg_net", async () => {
  await using db = await testDatabase("hub");
  await db.admin.begin(async (sql) => {
    await sql`set local role anon`;
    await sql`select net.http_post('http://127.0.0.1:9/')`;
    assert.equal((await sql`select from net.http_request_queue`).length, 1);
  });
});

Deno.test("the Vault keeps a secret under a name once, changes what is given, and is postgres' alone", async () => {
  await using db = await testDatabase("hub");
  const [made] = await db.sql`select vault.create_secret('s1', 'token', 'why') as id`;
  await assert.rejects(db.sql`select vault.create_secret('s2', 'token')`, /duplicate key value/);
  await db.sql`select vault.update_secret(${made!["id"]}, 's3')`;
  const rows = await db.sql`select name, decrypted_secret, description from vault.decrypted_secrets`;
  assert.deepEqual(rows.map((row) => ({ ...row })), [
    { name: "token", decrypted_secret: "s3", description: "why" },
  ]);
  await db.sql`select vault.create_secret('nameless 1'), vault.create_secret('nameless 2')`;
  await assert.rejects(
    db.sql`insert into vault.secrets (secret) values ('past the function')`,
    /permission denied/,
  );
  for (const role of ["anon", "authenticated"]) {
    for (const query of ["select * from vault.decrypted_secrets", "select vault.create_secret('x')"]) {
      const tried = db.admin.begin((sql) => sql.unsafe(`set local role ${role}; ${query}`));
      await assert.rejects(tried, /permission denied/, `${role}: ${query}`);
    }
  }
});
