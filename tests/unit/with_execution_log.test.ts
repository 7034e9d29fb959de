/** The wrapper around other people's functions: what it reports, and above all what it leaves alone. */
import assert from "node:assert/strict";
import {
  executionReport,
  type ReportedExecution,
} from "../../supabase/functions/_shared/domain/function_report.ts";
import { type ExecutionLogOptions, withExecutionLog } from "../../supabase/functions/with_execution_log.ts";
import { waitFor } from "../support/wait_for.ts";

const URL_AND_TOKEN = { url: "https://hub.example/functions/v1/record-execution", token: "sjm_secret" };

/** A hub that keeps what it is sent, as `record-execution` reads it. */
function fakeHub(
  answer: (init: RequestInit) => Promise<Response> = () => Promise.resolve(Response.json({})),
) {
  const executions: ReportedExecution[] = [];
  const requests: { url: string; init: RequestInit }[] = [];
  const options: ExecutionLogOptions = {
    ...URL_AND_TOKEN,
    gatherMs: 0,
    fetch: async (url, init = {}) => {
      requests.push({ url: String(url), init });
      const response = await answer(init);
      if (response.ok) {
        executions.push(...executionReport.parse(JSON.parse(String(init.body))).executions);
      }
      return response;
    },
  };
  const received = (count: number) =>
    waitFor(() => executions.length >= count, { what: `${count} executions`, withinMs: 60_000, everyMs: 1 });
  return { executions, requests, options, received };
}

const request = (init: RequestInit = {}) =>
  new Request("https://x.example/functions/v1/sync-leads", { method: "POST", body: "{}", ...init });

Deno.test("an execution is reported once, with its status and duration, after the answer", async () => {
  const hub = fakeHub();
  const handler = withExecutionLog(
    "sync-leads",
    () => Promise.resolve(new Response("no", { status: 404 })),
    hub.options,
  );
  const response = await handler(request());
  assert.equal(response.status, 404);
  assert.equal(hub.requests.length, 0, "the answer does not wait for the report");
  await hub.received(1);
  const [one] = hub.executions;
  assert.deepEqual([one?.function, one?.status, one?.http_status, one?.error], [
    "sync-leads",
    "success",
    404,
    null,
  ]);
  assert.ok((one?.duration_ms ?? -1) >= 0 && one?.ended_at !== null);
  const headers = new Headers(hub.requests[0]?.init.headers);
  assert.equal(headers.get("x-report-token"), "sjm_secret");
});

Deno.test("the handler's own promise and response come back, with what else the caller hands over", async () => {
  const hub = fakeHub();
  const answer = new Response("own");
  const promise = Promise.resolve(answer);
  const seen: unknown[] = [];
  const handler = withExecutionLog("a", (own: Request, info: { port: number }) => {
    seen.push(own, info);
    return promise;
  }, hub.options);
  const own = request();
  assert.equal(handler(own, { port: 1 }), promise);
  assert.deepEqual(seen, [own, { port: 1 }]);
  const sync = withExecutionLog("a", () => answer, hub.options);
  assert.equal(sync(request()), answer);
  await hub.received(2);
});

Deno.test("neither body is read, and a stream goes on after the report", async () => {
  const hub = fakeHub();
  const more = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode("first"));
      await more.promise;
      controller.close();
    },
  });
  const own = request();
  const handler = withExecutionLog("a", () => new Response(body), hub.options);
  const response = await handler(own);
  await hub.received(1);
  assert.deepEqual([own.bodyUsed, response.bodyUsed, response.body], [false, false, body]);
  more.resolve();
  assert.equal(await response.text(), "first");
});

Deno.test("an error is thrown on unchanged, and reported bounded and without secrets", async () => {
  const hub = fakeHub();
  const thrown = new TypeError(
    "Cannot reach postgres://u:hunter2@db/x with sb_secret_abcdefgh " + "x".repeat(1_000_000),
  );
  const rejects = withExecutionLog("a", () => Promise.reject(thrown), hub.options);
  await assert.rejects(async () => await rejects(request()), (error) => error === thrown);
  const throws = withExecutionLog("a", () => {
    throw thrown;
  }, hub.options);
  assert.throws(() => throws(request()), (error) => error === thrown);
  await hub.received(2);
  for (const one of hub.executions) {
    assert.deepEqual([one.status, one.http_status, one.error?.name], ["failed", null, "TypeError"]);
    assert.ok((one.error?.message.length ?? 0) <= 1_000);
    assert.doesNotMatch(one.error?.message ?? "", /hunter2|abcdefgh/);
  }
});

Deno.test("whatever is thrown is reported: text, objects, nothing, errors that refuse to be read", async () => {
  const hub = fakeHub();
  const hostile = Object.defineProperty(new Error("x"), "message", {
    get: () => {
      throw new Error("no");
    },
  });
  for (const thrown of ["text", { code: 7 }, undefined, null, hostile]) {
    const handler = withExecutionLog("a", () => Promise.reject(thrown), hub.options);
    await assert.rejects(async () => await handler(request()), (error) => error === thrown);
  }
  await hub.received(5);
  assert.deepEqual(hub.executions.map(({ error }) => error?.message), [
    "text",
    '{"code":7}',
    "undefined",
    "null",
    "an error that cannot be read",
  ]);
});

Deno.test("what was thrown is read after the caller has it, and however large or circular it is", async () => {
  const hub = fakeHub();
  const order: string[] = [];
  const circular: Record<string, unknown> = Object.defineProperty({}, "code", {
    enumerable: true,
    get: () => {
      order.push("read");
      return 7n;
    },
  });
  circular["list"] = Array(1_000_000).fill("x".repeat(5_000));
  circular["self"] = circular;
  const rejects = withExecutionLog("a", () => Promise.reject(circular), hub.options);
  const throws = withExecutionLog("a", () => {
    throw circular;
  }, hub.options);
  await Promise.resolve(rejects(request())).catch(() => order.push("caught"));
  assert.throws(() => throws(request()), (error) => error === circular);
  order.push("caught");
  await hub.received(2);
  assert.deepEqual(order, ["caught", "caught", "read", "read"]);
  assert.match(hub.executions[0]?.error?.message ?? "", /^\{"code":"7","list":\["xxx/);
});

Deno.test("an answer with 5xx is a failure", async () => {
  const hub = fakeHub();
  await withExecutionLog("a", () => new Response("", { status: 503 }), hub.options)(request());
  await hub.received(1);
  assert.deepEqual([hub.executions[0]?.status, hub.executions[0]?.http_status], ["failed", 503]);
});

Deno.test("a hub that never answers changes nothing, and is left alone after the timeout", async () => {
  let problem = "";
  const hub = fakeHub((init) =>
    new Promise((_, reject) => init.signal?.addEventListener("abort", () => reject(init.signal?.reason)))
  );
  const options = { ...hub.options, timeoutMs: 5, onProblem: (text: string) => void (problem = text) };
  const handler = withExecutionLog("a", () => new Response("fine"), options);
  assert.equal(await (await handler(request())).text(), "fine");
  await waitFor(() => problem !== "", { what: "the report to be given up", withinMs: 60_000, everyMs: 1 });
  assert.equal(problem, "The hub could not be reached");
  for (let i = 0; i < 100; i++) assert.equal(await (await handler(request())).text(), "fine");
  assert.equal(hub.requests.length, 1);
});

Deno.test("a hub that is down, refuses, or breaks in any way is nobody's error", async () => {
  const problems: string[] = [];
  const answers: (() => Promise<Response>)[] = [
    () => Promise.reject(new TypeError("error sending request for url (https://hub.example/secret)")),
    () => Promise.resolve(new Response("", { status: 401 })),
    () => {
      throw new Error("at once");
    },
  ];
  for (const answer of answers) {
    const hub = fakeHub(answer);
    const onProblem = (text: string) => {
      problems.push(text);
      throw new Error("nor is this");
    };
    const handler = withExecutionLog("a", () => new Response("fine"), { ...hub.options, onProblem });
    assert.equal((await handler(request())).status, 200);
  }
  await waitFor(() => problems.length === 3, { what: "three problems", withinMs: 60_000, everyMs: 1 });
  assert.deepEqual(problems.toSorted(), [
    "The hub answered 401",
    "The hub could not be reached",
    "The hub could not be reached",
  ]);
});

Deno.test("without a URL or a token the handler itself is served", () => {
  const handler = () => new Response("fine");
  assert.equal(withExecutionLog("a", handler, { url: URL_AND_TOKEN.url }), handler);
  assert.equal(withExecutionLog("a", handler, { token: URL_AND_TOKEN.token }), handler);
});

Deno.test("URL and token come from the environment", async () => {
  const hub = fakeHub();
  Deno.env.set("EXECUTION_LOG_URL", "https://hub.example/x");
  Deno.env.set("EXECUTION_LOG_TOKEN", "sjm_env");
  try {
    const options = { gatherMs: 0, ...(hub.options.fetch === undefined ? {} : { fetch: hub.options.fetch }) };
    await withExecutionLog("a", () => new Response("fine"), options)(request());
    await hub.received(1);
    assert.equal(hub.requests[0]?.url, "https://hub.example/x");
  } finally {
    Deno.env.delete("EXECUTION_LOG_URL");
    Deno.env.delete("EXECUTION_LOG_TOKEN");
  }
});

Deno.test("executions side by side go in few reports, each of them once", async () => {
  const hub = fakeHub();
  const handler = withExecutionLog("a", () => Promise.resolve(new Response("")), hub.options);
  await Promise.all(Array.from({ length: 120 }, () => handler(request())));
  await hub.received(120);
  assert.equal(new Set(hub.executions.map(({ id }) => id)).size, 120);
  assert.equal(hub.requests.length, 3);
});

Deno.test("what takes long is told as running, and its end by the same id", async () => {
  const hub = fakeHub();
  const answer = Promise.withResolvers<Response>();
  const handler = withExecutionLog("a", () => answer.promise, { ...hub.options, tellRunningAfterMs: 1 });
  const response = handler(request());
  await hub.received(1);
  answer.resolve(new Response("at last"));
  assert.equal(await (await response).text(), "at last");
  await hub.received(2);
  assert.deepEqual(hub.executions.map(({ status }) => status), ["running", "success"]);
  assert.equal(hub.executions[0]?.id, hub.executions[1]?.id);
});

Deno.test("before the runtime ends a worker, what is still running is told at once", async () => {
  const hub = fakeHub();
  const answer = Promise.withResolvers<Response>();
  const handler = withExecutionLog("a", () => answer.promise, { ...hub.options, gatherMs: 3_600_000 });
  const response = handler(request());
  dispatchEvent(new CustomEvent("beforeunload", { detail: { reason: "wall_clock" } }));
  await hub.received(1);
  assert.equal(hub.executions[0]?.status, "running");
  answer.resolve(new Response("fine"));
  await response;
  dispatchEvent(new CustomEvent("beforeunload"));
  await hub.received(2);
});

Deno.test("health checks of the monitor are no executions", async () => {
  const hub = fakeHub();
  const handler = withExecutionLog("a", () => new Response("fine"), hub.options);
  await handler(request({ headers: { "user-agent": "supabase-job-monitor/1 (health check)" } }));
  await handler(request());
  await hub.received(1);
  assert.equal(hub.executions.length, 1);
});

Deno.test("the runtime keeps the worker alive for the report", async () => {
  const hub = fakeHub();
  const kept: Promise<unknown>[] = [];
  Object.assign(globalThis, { EdgeRuntime: { waitUntil: (work: Promise<unknown>) => void kept.push(work) } });
  try {
    await withExecutionLog("a", () => new Response("fine"), hub.options)(request());
    assert.equal(kept.length, 1);
    await kept[0];
    assert.equal(hub.executions.length, 1);
  } finally {
    Reflect.deleteProperty(globalThis, "EdgeRuntime");
  }
});

Deno.test("the file stands alone: it imports nothing", async () => {
  const text = await Deno.readTextFile(
    new URL("../../supabase/functions/with_execution_log.ts", import.meta.url),
  );
  assert.doesNotMatch(text, /^\s*(import|export .* from)\b/m);
});
