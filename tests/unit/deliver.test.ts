/** Sending: what is made of answers and of the network's failures. */
import assert from "node:assert/strict";
import { deliver } from "../../supabase/functions/_shared/channels/deliver.ts";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";

const SECRET = "wh-token-abcdefghijklmnop";
const REQUEST = {
  url: `https://discord.com/api/webhooks/123456/${SECRET}`,
  method: "POST" as const,
  headers: { "content-type": "application/json" },
  body: "{}",
};

type Response_ = Extract<VendorAnswer, { kind: "response" }>;

/** Delivers to a `fetch` that answers so. */
async function answered(
  respond: (init: RequestInit) => Response | Promise<Response>,
  secrets: string[] = [],
) {
  const answer = await deliver(REQUEST, {
    secrets,
    fetch: (_url, init) => Promise.resolve(respond(init ?? {})),
  });
  assert.equal(answer.kind, "response");
  return answer as Response_;
}

Deno.test("deliver() sends method, headers and body, refuses redirects and sets a timeout", async () => {
  let seen: RequestInit = {};
  await answered((init) => {
    seen = init;
    return new Response("{}");
  });
  assert.equal(seen.method, "POST");
  assert.equal(seen.body, "{}");
  assert.deepEqual(seen.headers, { "content-type": "application/json" });
  assert.equal(seen.redirect, "error");
  assert.ok(seen.signal instanceof AbortSignal);
});

Deno.test("deliver() gives the answer's status, JSON and beginning", async () => {
  const answer = await answered(() => Response.json({ id: "1" }, { status: 201 }));
  assert.deepEqual(answer, {
    kind: "response",
    status: 201,
    json: { id: "1" },
    excerpt: '{"id":"1"}',
    retryAfterMs: null,
  });
});

Deno.test("deliver() keeps at most 500 characters of an answer, without secrets or control characters", async () => {
  const html = `<html>\n\u0000 webhook ${SECRET} and Bearer abcdefghijklmnopqrstuvwxyz ${"x".repeat(5_000)}`;
  const answer = await answered(() => new Response(html, { status: 502 }), [SECRET]);
  assert.equal(answer.json, null);
  assert.equal(answer.excerpt.length, 500);
  assert.match(answer.excerpt, /^<html> webhook \*\*\* and Bearer \*\*\* x+$/);
});

Deno.test("deliver() stops reading an answer that does not end", async () => {
  let chunks = 0;
  const endless = new ReadableStream({
    pull(controller) {
      chunks++;
      controller.enqueue(new Uint8Array(16_384).fill(97));
    },
  });
  const answer = await answered(() => new Response(endless));
  assert.equal(answer.excerpt.length, 500);
  assert.ok(chunks < 10, `${chunks} chunks`);
});

Deno.test("deliver() reads Retry-After as seconds and as a date", async () => {
  const after = async (headers: Record<string, string>) =>
    (await answered(() => new Response("", { status: 429, headers }))).retryAfterMs;
  assert.equal(await after({ "retry-after": "17" }), 17_000);
  assert.equal(await after({ "retry-after": "0.5" }), 500);
  const date = { date: "Sat, 21 Nov 2026 12:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 12:01:30 GMT" };
  assert.equal(await after(date), 90_000);
  assert.equal(await after({ "retry-after": "Sat, 21 Nov 2020 12:00:00 GMT" }), 0);
  assert.equal(await after({ "retry-after": "soon" }), null);
  assert.equal(await after({}), null);
});

Deno.test("deliver() answers a network's failure without its error, which would hold the URL", async () => {
  const answer = await deliver(REQUEST, {
    fetch: () => Promise.reject(new TypeError(`error sending request for url (${REQUEST.url})`)),
  });
  assert.deepEqual(answer, { kind: "network" });
});

Deno.test("deliver() answers a connection that breaks within the answer", async () => {
  const broken = new ReadableStream({ pull: (controller) => controller.error(new TypeError(REQUEST.url)) });
  const answer = await deliver(REQUEST, { fetch: () => Promise.resolve(new Response(broken)) });
  assert.deepEqual(answer, { kind: "network" });
});

Deno.test("deliver() gives up after its timeout", async () => {
  const answer = await deliver(REQUEST, {
    timeoutMs: 20,
    fetch: (_url, init) =>
      new Promise((_, reject) => {
        const keepAlive = setTimeout(() => {}, 5_000);
        init?.signal?.addEventListener("abort", () => {
          clearTimeout(keepAlive);
          reject(init.signal?.reason);
        });
      }),
  });
  assert.deepEqual(answer, { kind: "timeout" });
});

Deno.test("deliver() refuses a URL before it asks the network", async () => {
  let asked = false;
  const attempt = deliver({ ...REQUEST, url: "https://169.254.169.254/latest" }, {
    fetch: () => {
      asked = true;
      return Promise.resolve(new Response());
    },
  });
  await assert.rejects(attempt, { code: "url_refused" });
  assert.equal(asked, false);
});

Deno.test("deliver() tells a connection that was never made from one that broke", async () => {
  const failing = async (text: string, cause?: Error) =>
    await deliver(REQUEST, { fetch: () => Promise.reject(new TypeError(text, { cause })) });
  const refused = "error sending request: client error (Connect): tcp connect error: Connection refused";
  assert.deepEqual(await failing(refused), { kind: "network", unsent: true }, "as Deno 2.1 says it");
  const inCause = await failing("fetch failed", new Error(refused));
  assert.deepEqual(inCause, { kind: "network", unsent: true }, "as Deno 2.9 says it");
  assert.deepEqual(await failing("client error (SendRequest): connection closed before message completed"), {
    kind: "network",
  });
});

Deno.test("deliver() keeps credentials of headers out of what a vendor quotes", async () => {
  const credentials = btoa("AC0123:a-token-of-somebody");
  const answer = await deliver({ ...REQUEST, headers: { authorization: `Basic ${credentials}` } }, {
    fetch: () => Promise.resolve(new Response(`no such user: ${credentials}`, { status: 401 })),
  });
  assert.ok(answer.kind === "response" && answer.excerpt === "no such user: ***");
});
