/**
 * The process in which one edge function lives on the local stack: its own memory, only the environment it was given,
 * `EdgeRuntime.waitUntil`, and the function's default export served on a loopback port of its own.
 *
 * Started by `gateway.ts`. The first line on stdin says what to serve; the end of stdin means that the stack is gone,
 * and then this process goes too, so that a killed stack leaves no process behind.
 */
import { textLines } from "./json_log.ts";

/** First line on stdin. */
export interface HostBoot {
  /** The function's name, as in its URL. */
  name: string;
  /** `file:` URL of the entry point. */
  entry: string;
  /** The whole environment that the function sees. */
  env: Record<string, string>;
  /** How long a graceful stop waits for requests and background work, in milliseconds. */
  drainMs: number;
}

/** What the host prints, followed by its port, when the function is ready. */
export const READY_PREFIX = "function-host ready on port ";

interface Handler {
  fetch(request: Request): Response | Promise<Response>;
}

const background = new Set<Promise<unknown>>();

/** One structured line, which the gateway writes to the function's log. */
function report(level: "info" | "error", event: string, error?: unknown): void {
  const text = error instanceof Error ? error.stack ?? error.message : error;
  const line = JSON.stringify({ level, event, ...(text === undefined ? {} : { error: text }) });
  Deno.stderr.writeSync(new TextEncoder().encode(line + "\n"));
}

/** Work that goes on after the response; its failure is logged and kills nothing, as in the hosted runtime. */
function waitUntil(promise: Promise<unknown>): void {
  const watched = Promise.resolve(promise)
    .catch((error) => report("error", "background work failed", error))
    .finally(() => background.delete(watched));
  background.add(watched);
}

/** Nothing of the machine's environment reaches the function: what Deno needed to start is removed again. */
function setEnvironment(env: Record<string, string>): void {
  for (const name of Object.keys(Deno.env.toObject())) Deno.env.delete(name);
  for (const [name, value] of Object.entries(env)) Deno.env.set(name, value);
}

async function loadHandler(entry: string): Promise<Handler> {
  const loaded: { default?: Partial<Handler> } = await import(entry);
  // The hosted runtime has no source tree to read: a function that reads files must fail here too.
  await Deno.permissions.revoke({ name: "read" });
  const handler = loaded.default;
  if (typeof handler?.fetch !== "function") {
    throw new TypeError(
      "Cannot serve the function: its default export must be an object with a fetch method",
    );
  }
  return handler as Handler;
}

/** The request as the hosted runtime hands it over: public host, and a path that begins with the function's name. */
function asHosted(request: Request): Request {
  const url = new URL(request.url);
  const host = request.headers.get("x-forwarded-host");
  if (host === null) return request;
  // Part by part: handing over the request's signal too makes Deno warn about it.
  const { method, headers, body } = request;
  return new Request(`http://${host}${url.pathname}${url.search}`, { method, headers, body });
}

function serve(handler: Handler): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) => {
      Deno.stdout.writeSync(new TextEncoder().encode(`${READY_PREFIX}${port}\n`));
    },
    onError: (error) => {
      report("error", "unhandled error in the function", error);
      const body = { code: "EDGE_FUNCTION_ERROR", message: "Function threw an error (please check logs)" };
      return Response.json(body, { status: 500, headers: { "sb-error-code": body.code } });
    },
  }, (request) => handler.fetch(asHosted(request)));
}

/** Ends what is in flight, then the background work, each within the same deadline. */
async function drain(server: Deno.HttpServer, drainMs: number): Promise<void> {
  globalThis.dispatchEvent(new CustomEvent("beforeunload", { detail: { reason: "termination" } }));
  const finished = (async () => {
    await server.shutdown();
    while (background.size > 0) await Promise.all(background);
  })();
  const deadline = new Promise<void>((resolve) => setTimeout(resolve, drainMs));
  await Promise.race([finished, deadline]);
}

async function main(): Promise<void> {
  // Ctrl-C reaches the whole process group; the gateway decides when a function ends.
  for (const signal of ["SIGINT", "SIGHUP"] as const) Deno.addSignalListener(signal, () => {});
  const input = textLines(Deno.stdin.readable);
  const first = await input.next();
  if (first.done) return;
  const boot: HostBoot = JSON.parse(first.value);
  input.next().then(() => Deno.exit(0));

  setEnvironment(boot.env);
  Object.assign(globalThis, { EdgeRuntime: { waitUntil } });
  const server = serve(await loadHandler(boot.entry));
  Deno.addSignalListener("SIGTERM", () => {
    drain(server, boot.drainMs).finally(() => Deno.exit(0));
  });
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    report("error", "boot failed", error);
    Deno.exit(1);
  }
}
