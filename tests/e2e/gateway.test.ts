/** The gateway over functions that behave and misbehave, as hosted Supabase would treat them. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import {
  FunctionsConfigError,
  parseFunctionsConfig,
  readFunctionsConfig,
} from "../../scripts/local/functions_config.ts";
import { type Gateway, type GatewayOptions, startGateway } from "../../scripts/local/gateway.ts";
import { isProcessUp } from "../../scripts/local/processes.ts";
import { waitFor } from "../support/wait_for.ts";

const CONFIG = fileURLToPath(new URL("../fixtures/supabase/config.toml", import.meta.url));
const HOSTED_ENV = ["DENO_DEPLOYMENT_ID", "SB_EXECUTION_ID", "SB_REGION"];

async function withGateway(
  options: Partial<GatewayOptions>,
  body: (gateway: Gateway, logDir: string) => Promise<void>,
): Promise<void> {
  const logDir = await Deno.makeTempDir({ prefix: "gateway_test_" });
  const functions = await readFunctionsConfig(CONFIG);
  const marker = `--stack=${logDir}`;
  const gateway = await startGateway({ port: 0, functions, env: {}, logDir, marker, ...options });
  try {
    await body(gateway, logDir);
  } finally {
    await gateway.stop();
    await Deno.remove(logDir, { recursive: true });
  }
}

async function call(
  gateway: Gateway,
  path: string,
  init: RequestInit = { method: "POST", body: "{}" },
): Promise<{ status: number; code: string | null; json: Record<string, unknown> }> {
  const response = await fetch(`${gateway.url}/functions/v1/${path}`, init);
  return {
    status: response.status,
    code: response.headers.get("sb-error-code"),
    json: await response.json(),
  };
}

async function logLines(logDir: string, name: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(`${logDir}/${name}.log`);
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

/** A loopback server that holds requests to `/gate` until `open()` and counts those to `/done`. */
function startGate() {
  const opened = Promise.withResolvers<void>();
  let done = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    if (request.url.endsWith("/done")) done++;
    else await opened.promise;
    return new Response("");
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  return { gate: `${url}/gate`, done: `${url}/done`, open: opened.resolve, timesDone: () => done, server };
}

Deno.test("a function sees its request as hosted: path, host, headers and body", async () => {
  await withGateway({}, async (gateway) => {
    const headers = { apikey: "sb_secret_x" };
    const { status, json } = await call(gateway, "echo/a/b?c=d", { method: "PUT", body: "hello", headers });
    assert.equal(status, 200);
    assert.equal(json["url"], `${gateway.url}/echo/a/b?c=d`);
    assert.deepEqual([json["method"], json["body"], json["apikey"]], ["PUT", "hello", "sb_secret_x"]);
    assert.equal(json["answer"], 42, "imports resolve through the function's import map");
  });
});

Deno.test("a function has the hosted environment and its secrets, and nothing of the machine's", async () => {
  const env = { SUPABASE_URL: "http://127.0.0.1:1", MY_SECRET: "s" };
  await withGateway({ env }, async (gateway) => {
    const { json } = await call(gateway, "echo");
    assert.deepEqual(json["env"], [...HOSTED_ENV, ...Object.keys(env)].sort());
    assert.deepEqual(json["granted"], ["net", "env"], "no write, run or ffi; reading ends with the import");
    assert.equal(json["canRead"], false);
  });
});

Deno.test("each function has a process of its own, kept between requests", async () => {
  await withGateway({}, async (gateway) => {
    assert.equal(gateway.pidOf("echo"), undefined, "starts at its first request");
    await call(gateway, "echo");
    const first = gateway.pidOf("echo");
    await call(gateway, "echo");
    assert.equal(gateway.pidOf("echo"), first);
    assert.notEqual(first, undefined);
    assert.equal(gateway.pidOf("hang"), undefined);
  });
});

Deno.test("a function whose import fails answers 503 BOOT_ERROR, and the logs name the error", async () => {
  await withGateway({}, async (gateway, logDir) => {
    const { status, code, json } = await call(gateway, "broken");
    assert.deepEqual([status, code, json["code"]], [503, "BOOT_ERROR", "BOOT_ERROR"]);
    for (const name of ["gateway", "broken"]) {
      const line = (await logLines(logDir, name)).find(({ event }) => event === "BOOT_ERROR");
      assert.match(String(line?.["error"]), /The import of this fixture fails/);
    }
    assert.equal((await call(gateway, "echo")).status, 200, "the others are served");
  });
});

Deno.test("warm() starts every function and names those that cannot be served", async () => {
  await withGateway({}, async (gateway) => {
    const failures = await gateway.warm();
    assert.deepEqual(failures.map(({ name }) => name).sort(), ["broken", "no-handler"]);
    assert.match(failures.find(({ name }) => name === "no-handler")?.error ?? "", /default export/);
    assert.notEqual(gateway.pidOf("echo"), undefined);
  });
});

Deno.test("unknown and disabled functions answer 404, other methods 405", async () => {
  await withGateway({}, async (gateway) => {
    for (const name of ["nowhere", "off", ""]) {
      const { status, json } = await call(gateway, name);
      assert.equal(status, 404);
      assert.deepEqual(json, { code: "NOT_FOUND", message: "Requested function was not found" });
    }
    const outside = await fetch(`${gateway.url}/rest/v1/jobs`);
    assert.equal(outside.status, 404);
    await outside.body?.cancel();
    const head = await fetch(`${gateway.url}/functions/v1/echo`, { method: "HEAD" });
    assert.equal(head.status, 405);
  });
});

Deno.test("a function that does not respond in time gets 504 and a fresh process", async () => {
  await withGateway({ responseTimeoutMs: 300 }, async (gateway) => {
    await gateway.warm();
    const first = gateway.pidOf("hang") ?? 0;
    const { status, code } = await call(gateway, "hang");
    assert.deepEqual([status, code], [504, "IDLE_TIMEOUT"]);
    await waitFor(async () => !(await isProcessUp(first)), {
      what: "the hanging process to end",
      withinMs: 60_000,
    });
    assert.equal((await call(gateway, "hang")).status, 504);
  });
});

Deno.test("a function killed in a request gives 502, and the next request a fresh process", async () => {
  const gate = startGate();
  await withGateway({}, async (gateway) => {
    const body = JSON.stringify({ arrived: gate.done });
    const inFlight = [1, 2].map(() => call(gateway, "hang", { method: "POST", body }));
    await waitFor(() => gate.timesDone() === 2, { what: "both requests to arrive", withinMs: 60_000 });
    Deno.kill(gateway.pidOf("hang") ?? 0, "SIGKILL");
    for (const { status, code } of await Promise.all(inFlight)) {
      assert.deepEqual([status, code], [502, "WORKER_ERROR"]);
    }
  });
  await gate.server.shutdown();
});

Deno.test("a function that ends its own process gives 502, one that throws 500", async () => {
  await withGateway({}, async (gateway) => {
    const crashed = await call(gateway, "crash");
    assert.deepEqual([crashed.status, crashed.code], [502, "WORKER_ERROR"]);
    const threw = await call(gateway, "crash/throw");
    assert.deepEqual([threw.status, threw.code], [500, "EDGE_FUNCTION_ERROR"], "from a fresh process");
    const pid = gateway.pidOf("crash");
    await call(gateway, "crash/throw");
    assert.equal(gateway.pidOf("crash"), pid, "which survives a throw");
  });
});

Deno.test("a function killed while idle is replaced without the caller noticing", async () => {
  await withGateway({}, async (gateway, logDir) => {
    await call(gateway, "echo");
    const first = gateway.pidOf("echo") ?? 0;
    Deno.kill(first, "SIGKILL");
    await waitFor(() => gateway.pidOf("echo") === undefined, {
      what: "the gateway to notice",
      withinMs: 60_000,
    });
    const { status } = await call(gateway, "echo");
    assert.equal(status, 200, await Deno.readTextFile(`${logDir}/gateway.log`));
    assert.notEqual(gateway.pidOf("echo"), first);
  });
});

Deno.test("work under waitUntil goes on after the response and is awaited by a graceful stop", async () => {
  const gate = startGate();
  await withGateway({}, async (gateway, logDir) => {
    const body = JSON.stringify({ gate: gate.gate, done: gate.done });
    assert.equal((await call(gateway, "background", { method: "POST", body })).status, 202);
    assert.equal(gate.timesDone(), 0, "the response did not wait");
    const stopped = gateway.stop();
    gate.open();
    await stopped;
    assert.equal(gate.timesDone(), 1);
    const failed = (await logLines(logDir, "background")).find(({ event }) =>
      event === "background work failed"
    );
    assert.match(String(failed?.["error"]), /This background work fails/);
  });
  await gate.server.shutdown();
});

Deno.test("a graceful stop does not wait for background work for ever", async () => {
  const gate = startGate();
  await withGateway({ drainMs: 200 }, async (gateway) => {
    const body = JSON.stringify({ gate: gate.gate, done: gate.done });
    await call(gateway, "background", { method: "POST", body });
    const pid = gateway.pidOf("background") ?? 0;
    await gateway.stop();
    assert.equal(await isProcessUp(pid), false);
  });
  gate.open();
  await gate.server.shutdown();
});

Deno.test("what a function prints goes to its log as JSON lines with a time", async () => {
  await withGateway({}, async (gateway, logDir) => {
    await call(gateway, "echo");
    const line = await waitFor(
      async () => (await logLines(logDir, "echo").catch(() => [])).find(({ event }) => event === "echoed"),
      { what: "the function's line in its log", withinMs: 60_000 },
    );
    assert.equal(line["level"], "info");
    assert.match(String(line["at"]), /^\d{4}-\d\d-\d\dT/);
  });
});

Deno.test("the functions end when the process that serves them is killed", async () => {
  const logDir = await Deno.makeTempDir({ prefix: "gateway_test_" });
  const script = fileURLToPath(new URL("../fixtures/run_gateway.ts", import.meta.url));
  const args = ["run", "-A", "--quiet", script, logDir];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stdin: "null" }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const pid = Number((await reader.read()).value);
  assert.equal(await isProcessUp(pid), true);

  child.kill("SIGKILL");
  await child.status;
  await waitFor(async () => !(await isProcessUp(pid)), { what: `process ${pid} to end`, withinMs: 60_000 });
  await reader.cancel();
  await Deno.remove(logDir, { recursive: true });
});

Deno.test("config.toml is read as the CLI reads it, and every fault is named", () => {
  const text = `
    [functions.good]
    verify_jwt = false
    import_map = "./functions/deno.json"
    [functions.elsewhere]
    verify_jwt = false
    import_map = "../map.json"
    entrypoint = "./other/main.ts"
    [functions.off]
    enabled = false
    [functions.bad]
    enabled = true
  `;
  const { functions, faults } = parseFunctionsConfig(text, "/p/supabase");
  assert.deepEqual(functions, [
    {
      name: "good",
      entrypoint: "/p/supabase/functions/good/index.ts",
      importMap: "/p/supabase/functions/deno.json",
    },
    { name: "elsewhere", entrypoint: "/p/supabase/other/main.ts", importMap: "/p/map.json" },
  ]);
  assert.equal(faults.length, 2);
  assert.match(faults[0] ?? "", /\[functions\.bad\] must name its import_map/);
  assert.match(faults[1] ?? "", /\[functions\.bad\] must say verify_jwt = false/);
});

Deno.test("a function whose files are missing is refused before anything starts", async () => {
  const folder = await Deno.makeTempDir({ prefix: "gateway_test_" });
  const path = `${folder}/config.toml`;
  await Deno.writeTextFile(path, '[functions.gone]\nverify_jwt = false\nimport_map = "./none.json"\n');
  await assert.rejects(readFunctionsConfig(path), (error: unknown) => {
    assert.ok(error instanceof FunctionsConfigError);
    assert.equal(error.faults.length, 2);
    return true;
  });
  await Deno.remove(folder, { recursive: true });
});
