import assert from "node:assert/strict";
import { serveFunction } from "../../supabase/functions/_shared/http/serve.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";

Deno.env.set("SUPABASE_URL", "http://127.0.0.1:54321");
Deno.env.set(
  "SUPABASE_SECRET_KEYS",
  JSON.stringify({ default: "sb_secret_default", monitor: "sb_secret_monitor", other: "sb_secret_other" }),
);
Deno.env.set("SUPABASE_PUBLISHABLE_KEYS", JSON.stringify({ default: "sb_publishable_default" }));

type Run = () => Promise<Record<string, unknown>>;

async function call(
  init: RequestInit & { key?: string | null } = {},
  run: Run = () => Promise.resolve({ done: 1 }),
) {
  const { key = "sb_secret_monitor", ...rest } = init;
  const served = serveFunction({ name: "check-job-health", input: triggerInput, run });
  const headers = new Headers(rest.headers);
  if (key !== null) headers.set("apikey", key);
  const response = await served.fetch(
    new Request("http://x/check-job-health", { method: "POST", ...rest, headers }),
  );
  return { status: response.status, body: await response.json(), headers: response.headers };
}

Deno.test("the named key and the default key may call, every other one may not", async () => {
  assert.equal((await call()).status, 200);
  assert.equal((await call({ key: "sb_secret_default" })).status, 200);
  for (const key of ["sb_secret_other", "sb_publishable_default", "nonsense", null]) {
    const answer = await call({ key });
    assert.equal(answer.status, 401, String(key));
    assert.equal(answer.body.error.code, "unauthorized");
    assert.doesNotMatch(JSON.stringify(answer.body), /monitor|other|default/);
  }
});

Deno.test("a bearer token is no substitute for the key", async () => {
  const answer = await call({ key: null, headers: { authorization: "Bearer sb_secret_monitor" } });
  assert.equal(answer.status, 401);
});

Deno.test("an answer has a request id, the caller's own where it is one", async () => {
  const own = await call({ headers: { "x-request-id": "abc-123" } });
  assert.deepEqual([own.body.request_id, own.headers.get("x-request-id")], ["abc-123", "abc-123"]);
  const bad = await call({ headers: { "x-request-id": "<script>" } });
  assert.match(bad.body.request_id, /^[0-9a-f-]{36}$/);
});

Deno.test("no body and an empty object are fine", async () => {
  assert.equal((await call()).status, 200);
  assert.equal((await call({ body: "{}" })).status, 200);
});

Deno.test("every bad field is named at once, and nothing runs", async () => {
  let ran = false;
  const answer = await call(
    { body: JSON.stringify({ project: "No Such", dry_run: "yes", projct: 1 }) },
    () => {
      ran = true;
      return Promise.resolve({});
    },
  );
  assert.equal(answer.status, 400);
  assert.equal(ran, false);
  const faults = answer.body.error.faults.join("\n");
  for (const field of ["project", "dry_run", "projct"]) assert.match(faults, new RegExp(field));
});

Deno.test("bodies that are not a JSON object are refused with the reason", async () => {
  const bodies: [body: BodyInit, reason: RegExp][] = [
    ["{", /not JSON/],
    ["[]", /not a JSON object/],
    ["null", /not a JSON object/],
    [new Uint8Array([0xff, 0xfe]), /not JSON/],
  ];
  for (const [body, reason] of bodies) {
    const answer = await call({ body });
    assert.equal(answer.status, 400);
    assert.match(answer.body.error.message, reason);
  }
});

Deno.test("a body that is too long is refused as such", async () => {
  const { status, body } = await call({ body: `{"source":"${"x".repeat(70_000)}"}` });
  assert.deepEqual([status, body.error.code], [413, "too_large"]);
  assert.match(body.error.message, /more than 65536 bytes/);
});

Deno.test("only POST is answered", async () => {
  const answer = await call({ method: "GET" });
  assert.deepEqual([answer.status, answer.headers.get("allow"), answer.body.error.code], [
    405,
    "POST",
    "method_not_allowed",
  ]);
});

Deno.test("cron is answered 202 at once and the work goes on under EdgeRuntime.waitUntil", async () => {
  const waiting: Promise<unknown>[] = [];
  Object.assign(globalThis, {
    EdgeRuntime: { waitUntil: (work: Promise<unknown>) => void waiting.push(work) },
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  let done = false;
  const answer = await call({ body: JSON.stringify({ source: "cron" }) }, async () => {
    await promise;
    done = true;
    return {};
  });
  assert.deepEqual([answer.status, answer.body.accepted, done], [202, true, false]);
  resolve();
  await Promise.all(waiting);
  assert.equal(done, true);
});

Deno.test("an error of ours has its status and sentence; an unforeseen one shows nothing of itself", async () => {
  const cases: [error: Error, status: number, message: RegExp][] = [
    [new AppError("not_found", 'Unknown project "x"'), 404, /Unknown project "x"/],
    [new AppError("hub_unreachable", "The hub does not answer"), 503, /does not answer/],
    [new Error("password=hunter2 at file.ts:1"), 500, /Unexpected error/],
  ];
  for (const [error, status, message] of cases) {
    const answer = await call({}, () => Promise.reject(error));
    assert.equal(answer.status, status);
    assert.match(answer.body.error.message, message);
    assert.doesNotMatch(JSON.stringify(answer.body), /hunter2|file\.ts/);
  }
});
