import assert from "node:assert/strict";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import type { Ping, PingOutcome } from "../../supabase/functions/_shared/hub/heartbeats.ts";
import { answerPing, type PingDeps } from "../../supabase/functions/receive-heartbeat/run.ts";
import { BODY_LIMIT } from "../../supabase/functions/receive-heartbeat/ping_request.ts";
import { createUnknownCallers } from "../../supabase/functions/receive-heartbeat/unknown_callers.ts";
import { NOON } from "../support/facts.ts";
import { recordingLog } from "../support/functions.ts";

const TOKEN = "0f4b1f3e-7c1d-4a52-9d27-2a3f9d1c0b77";
const BASE = "https://ref.supabase.co/functions/v1/receive-heartbeat";

interface World extends PingDeps {
  pings: Ping[];
  /** What the hub answers. */
  outcome: PingOutcome | AppError;
  now: number;
}

function world(): World {
  const all: World = {
    pings: [],
    outcome: { outcome: "kept" },
    now: NOON,
    receive: (ping) => {
      all.pings.push(ping);
      return all.outcome instanceof AppError ? Promise.reject(all.outcome) : Promise.resolve(all.outcome);
    },
    secrets: () => ["a-secret-of-the-hub"],
    unknownCallers: createUnknownCallers(),
    clock: () => new Date(all.now),
    log: recordingLog(),
  };
  return all;
}

async function ping(deps: World, path: string, init: RequestInit = {}) {
  const response = await answerPing(new Request(`${BASE}${path}`, init), deps);
  return { status: response.status, text: await response.text(), headers: response.headers };
}

Deno.test("every form of a ping is answered OK as plain text, and says what it says", async () => {
  const rid = "7e6d2c1b-0a9f-4e8d-b7c6-5a4f3e2d1c0b";
  const forms: [path: string, kind: string, exitCode: number | null, runId: string | null][] = [
    ["", "success", null, null],
    ["/", "success", null, null],
    ["/start", "start", null, null],
    ["/fail", "fail", null, null],
    ["/log", "log", null, null],
    ["/0", "success", 0, null],
    ["/3", "fail", 3, null],
    ["/255", "fail", 255, null],
    [`/start?rid=${rid}`, "start", null, rid],
    [`/1?rid=${rid.toUpperCase()}`, "fail", 1, rid],
  ];
  const deps = world();
  for (const [path, kind, exitCode, runId] of forms) {
    for (const method of ["GET", "POST", "HEAD"]) {
      const { status, text, headers } = await ping(deps, `/${TOKEN}${path}`, { method });
      assert.deepEqual([status, text], [200, method === "HEAD" ? "" : "OK"], `${method} ${path}`);
      assert.equal(headers.get("content-type"), "text/plain; charset=utf-8");
      assert.deepEqual(deps.pings.pop(), { token: TOKEN, kind, exitCode, runId, body: null });
    }
  }
});

Deno.test("what cannot be a ping is refused before the hub is asked", async () => {
  const deps = world();
  const refused: [path: string, status: number, text: RegExp][] = [
    ["", 404, /^not found$/],
    ["/", 404, /^not found$/],
    [`/${TOKEN}/nonsense`, 404, /^not found$/],
    [`/${TOKEN}/start/twice`, 404, /^not found$/],
    [`/${"x".repeat(201)}`, 404, /^not found$/],
    [`/${TOKEN}/256`, 400, /exit code must be 0 to 255/],
    [`/${TOKEN}?rid=1`, 400, /rid must be a UUID/],
  ];
  for (const [path, status, text] of refused) {
    const answer = await ping(deps, path);
    assert.equal(answer.status, status, path);
    assert.match(answer.text, text);
  }
  const put = await ping(deps, `/${TOKEN}`, { method: "PUT" });
  assert.deepEqual([put.status, put.headers.get("allow")], [405, "GET, HEAD, POST"]);
  assert.deepEqual(deps.pings, []);
});

Deno.test("a body is kept whole up to its limit, cut with a word beyond, and is text that Postgres takes", async () => {
  const deps = world();
  const bodyOf = async (body: BodyInit) => {
    await ping(deps, `/${TOKEN}/log`, { method: "POST", body });
    return deps.pings.pop()?.body ?? null;
  };
  assert.equal(await bodyOf("all is well\n"), "all is well\n");
  assert.equal(await bodyOf("a\u0000b\r\nc"), "ab\nc");
  assert.equal(await bodyOf(new Uint8Array([0x61, 0xff, 0x62])), "a\ufffdb");
  assert.equal(await bodyOf("x".repeat(BODY_LIMIT)), "x".repeat(BODY_LIMIT));
  assert.equal(
    await bodyOf("x".repeat(25_000)),
    `${"x".repeat(BODY_LIMIT)}\n… cut: the first 10000 of 25000 bytes were kept`,
  );
  assert.equal(
    await bodyOf("€".repeat(5_000)),
    `${"€".repeat(3_333)}\n… cut: the first 10000 of 15000 bytes were kept`,
  );
  assert.match(await bodyOf("x".repeat(3_000_000)) ?? "", /of more than 1048576 bytes were kept$/);
});

Deno.test("an unknown token gets the same 404 as a malformed path; a limited one 429 and when to come back", async () => {
  const deps = world();
  deps.outcome = { outcome: "unknown" };
  const unknown = await ping(deps, `/${TOKEN}`);
  const malformed = await ping(deps, `/${TOKEN}/nonsense`);
  assert.deepEqual([unknown.status, unknown.text], [404, malformed.text]);
  assert.deepEqual([...unknown.headers], [...malformed.headers]);
  deps.outcome = { outcome: "limited", retry_after: 7 };
  const limited = await ping(deps, `/${TOKEN}`);
  assert.deepEqual([limited.status, limited.headers.get("retry-after")], [429, "7"]);
});

Deno.test("an address that tries sixty unknown tokens in a minute is held off until the minute is over; others are not", async () => {
  const deps = world();
  deps.outcome = { outcome: "unknown" };
  const from = (address: string) =>
    ping(deps, `/${TOKEN}`, { headers: { "x-forwarded-for": `${address}, 10.0.0.1` } });
  for (let tries = 0; tries < 60; tries++) assert.equal((await from("192.0.2.1")).status, 404);
  deps.now += 20_000;
  const held = await from("192.0.2.1");
  assert.deepEqual([held.status, held.headers.get("retry-after")], [429, "40"]);
  assert.equal((await from("192.0.2.2")).status, 404);
  assert.equal(deps.pings.length, 61, "the hub is not asked for those held off");
  deps.now += 40_000;
  assert.equal((await from("192.0.2.1")).status, 404);
});

Deno.test("who is held off is told by the platform's word for the caller, not by the caller's own", async () => {
  const deps = world();
  deps.outcome = { outcome: "unknown" };
  const from = (address: string, claimed: string) =>
    ping(deps, `/${TOKEN}`, { headers: { "cf-connecting-ip": address, "x-forwarded-for": claimed } });
  for (let tries = 0; tries < 60; tries++) await from("192.0.2.1", `198.51.100.${tries}`);
  assert.equal((await from("192.0.2.1", "198.51.100.99")).status, 429);
  assert.equal((await from("192.0.2.2", "192.0.2.1")).status, 404);
});

Deno.test("while the hub is down a ping is asked to come again, and nothing of the token is logged", async () => {
  const deps = world();
  deps.outcome = new AppError("hub_unreachable", "The hub does not answer", { retryable: true });
  const down = await ping(deps, `/${TOKEN}`);
  assert.deepEqual([down.status, down.headers.get("retry-after")], [503, "10"]);
  deps.outcome = new AppError("hub_failed", "Cannot keep a ping");
  assert.equal((await ping(deps, `/${TOKEN}`)).status, 500);
  assert.ok(!JSON.stringify(deps.log).includes(TOKEN));
});

Deno.test("a secret of ours in a body is not kept", async () => {
  const deps = world();
  await ping(deps, `/${TOKEN}/fail`, { method: "POST", body: "cannot log in with a-secret-of-the-hub" });
  assert.deepEqual(deps.pings.map(({ body }) => body), ["cannot log in with ***"]);
});
