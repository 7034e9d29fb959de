/**
 * What stands before edge functions in hosted Supabase: serves each at `/functions/v1/<name>`, in a process of its own
 * that starts at its first request, is replaced once it has died, and sees only the hosted environment.
 *
 * Statuses and codes: https://supabase.com/docs/guides/functions/error-codes and …/status-codes.
 */
import {
  FunctionBootError,
  type FunctionProcess,
  type FunctionProcessOptions,
  startFunctionProcess,
} from "./function_process.ts";
import type { FunctionSettings } from "./functions_config.ts";
import { type JsonLog, openJsonLog } from "./json_log.ts";

/** What the gateway serves, and to whom. */
export interface GatewayOptions {
  /** `0` takes any free port. */
  port: number;
  /** Default `127.0.0.1`. */
  hostname?: string;
  functions: readonly FunctionSettings[];
  /** What every function sees; `SB_EXECUTION_ID` and the like are added for each process. */
  env: Readonly<Record<string, string>>;
  /** Folder of `<function>.log` and `gateway.log`. */
  logDir: string;
  /** See {@link FunctionProcessOptions.lockFile}. */
  lockFile?: string;
  /** Path of the Deno that runs the functions. Default: the one that runs the gateway. */
  deno?: string;
  /** Marks the processes of this stack, see {@link FunctionProcessOptions.marker}. */
  marker: string;
  /** Longest time to a function's first response, in milliseconds. Default 150,000, as hosted. */
  responseTimeoutMs?: number;
  /** Longest time to a function's readiness, in milliseconds. Default 60,000. */
  bootTimeoutMs?: number;
  /** How long a graceful stop waits for requests and background work, in milliseconds. Default 10,000. */
  drainMs?: number;
}

/** A function that could not be started, and why. */
export interface BootFailure {
  name: string;
  error: string;
}

/** A running gateway. */
export interface Gateway {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly functions: readonly string[];
  /** Starts every function side by side, answering those that fail. */
  warm(): Promise<BootFailure[]>;
  /** The process of a function, if it runs now. */
  pidOf(name: string): number | undefined;
  /** Takes no more requests, lets background work end, and ends every process; again: the same promise. */
  stop(): Promise<void>;
}

interface Slot {
  readonly settings: FunctionSettings;
  readonly log: JsonLog;
  process: Promise<FunctionProcess> | undefined;
  running: FunctionProcess | undefined;
  /** Processes that are still up, also those that take no new requests. */
  readonly all: Set<FunctionProcess>;
}

interface Context {
  readonly options: Required<Omit<GatewayOptions, "lockFile">> & Pick<GatewayOptions, "lockFile">;
  readonly slots: ReadonlyMap<string, Slot>;
  readonly log: JsonLog;
  /** Opens a connection for each request: one kept from before cannot tell a dead process from a failed request. */
  readonly client: Deno.HttpClient;
  /** Waited for at the end, so that no process is born after it. */
  readonly starting: Set<Promise<unknown>>;
}

const PREFIX = "/functions/v1/";
const METHODS = new Set(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
/** Meant for one connection only (RFC 9110, 7.6.1), or set anew by each server. */
const HOP_HEADERS = ["connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"];

/** Starts serving. Throws {@link Deno.errors.AddrInUse} when the port is taken. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const context = await createContext(options);
  const server = listen(context);
  const { hostname, port } = server.addr;
  let stopped: Promise<void> | undefined;
  return {
    url: `http://${hostname}:${port}`,
    functions: [...context.slots.keys()],
    warm: () => warm(context),
    pidOf: (name) => context.slots.get(name)?.running?.pid,
    stop: () => stopped ??= stop(context, server),
  };
}

async function createContext(options: GatewayOptions): Promise<Context> {
  const slots = new Map<string, Slot>();
  for (const settings of options.functions) {
    const log = await openJsonLog(options.logDir, settings.name);
    slots.set(settings.name, { settings, log, process: undefined, running: undefined, all: new Set() });
  }
  return {
    options: {
      hostname: "127.0.0.1",
      responseTimeoutMs: 150_000,
      bootTimeoutMs: 60_000,
      drainMs: 10_000,
      deno: Deno.execPath(),
      ...options,
    },
    slots,
    log: await openJsonLog(options.logDir, "gateway"),
    client: Deno.createHttpClient({ poolMaxIdlePerHost: 0 }),
    starting: new Set(),
  };
}

function listen(context: Context): Deno.HttpServer<Deno.NetAddr> {
  const { hostname, port } = context.options;
  return Deno.serve({
    hostname,
    port,
    onListen: () => {},
    onError: (error) => {
      context.log.write({ level: "error", event: "gateway failed", error: String(error) });
      return refuse(500, "INTERNAL", "The local gateway failed (please check logs)");
    },
  }, (request) => route(context, request));
}

async function route(context: Context, request: Request): Promise<Response> {
  const url = new URL(request.url);
  if (!url.pathname.startsWith(PREFIX)) {
    return refuse(404, "NOT_FOUND", `Requested path was not found; functions are at ${PREFIX}<name>`);
  }
  const path = url.pathname.slice(PREFIX.length);
  const slot = context.slots.get(path.split("/", 1)[0] ?? "");
  if (slot === undefined) return refuse(404, "NOT_FOUND", "Requested function was not found");
  if (!METHODS.has(request.method)) return refuse(405, "METHOD_NOT_ALLOWED", "Method is not supported");
  const forwarded = await forwardedRequest(request, url);
  const response = await answer(context, slot, `/${path}${url.search}`, forwarded);
  return asPublished(request, response);
}

/** Body read whole: it is small, and it can then be sent again to a fresh process. */
async function forwardedRequest(request: Request, url: URL): Promise<RequestInit> {
  const headers = new Headers(request.headers);
  for (const name of HOP_HEADERS) headers.delete(name);
  headers.set("accept-encoding", "identity");
  headers.set("x-forwarded-host", url.host);
  headers.set("x-forwarded-proto", "http");
  headers.set("x-forwarded-port", url.port);
  const body = request.body === null ? null : await request.arrayBuffer();
  return { method: request.method, headers, body, redirect: "manual" };
}

async function answer(context: Context, slot: Slot, path: string, init: RequestInit): Promise<Response> {
  const first = await attempt(context, slot, path, init);
  // A process that died idle refuses the connection: no byte was sent, so a fresh process may have the request.
  const outcome = first === "refused" ? await attempt(context, slot, path, init) : first;
  if (outcome instanceof Response) return outcome;
  return refuse(502, "WORKER_ERROR", "Function exited due to an error (please check logs)");
}

async function attempt(
  context: Context,
  slot: Slot,
  path: string,
  init: RequestInit,
): Promise<Response | "refused" | "died"> {
  let process: FunctionProcess;
  try {
    process = await processOf(context, slot);
  } catch (error) {
    if (!(error instanceof FunctionBootError)) throw error;
    return refuse(503, "BOOT_ERROR", "Function failed to start (please check logs)");
  }
  try {
    return await ask(context, process, path, init);
  } catch (error) {
    // Before the next request, so that it gets a fresh process.
    forget(slot, process);
    process.kill();
    if (isTimeout(error)) return timedOut(context, slot);
    if (isConnectionRefused(error)) return "refused";
    const fields = { event: "function exited during a request", function: slot.settings.name };
    context.log.write({ level: "error", ...fields, error: reasonOf(error) });
    return "died";
  }
}

/** The first response within the limit; its body may then take as long as it likes. */
async function ask(
  context: Context,
  process: FunctionProcess,
  path: string,
  init: RequestInit,
): Promise<Response> {
  const aborted = new AbortController();
  const timeout = new DOMException("No response in time", "TimeoutError");
  const timer = setTimeout(() => aborted.abort(timeout), context.options.responseTimeoutMs);
  try {
    const url = `http://127.0.0.1:${process.port}${path}`;
    return await fetch(url, { ...init, signal: aborted.signal, client: context.client });
  } finally {
    clearTimeout(timer);
  }
}

/** The hosted runtime too ends a worker that does not answer; the next request starts a fresh one. */
function timedOut({ options, log }: Context, slot: Slot): Response {
  const seconds = options.responseTimeoutMs / 1000;
  log.write({ level: "error", event: "function timed out", function: slot.settings.name, seconds });
  return refuse(504, "IDLE_TIMEOUT", `Function did not respond within ${seconds} s (please check logs)`);
}

function processOf(context: Context, slot: Slot): Promise<FunctionProcess> {
  if (slot.running !== undefined && !slot.running.alive()) forget(slot, slot.running);
  if (slot.process !== undefined) return slot.process;
  const starting = start(context, slot).catch((error) => {
    if (slot.process === starting) slot.process = undefined;
    throw error;
  });
  slot.process = starting;
  context.starting.add(starting);
  const settled = () => context.starting.delete(starting);
  starting.then(settled, settled);
  return starting;
}

async function start(context: Context, slot: Slot): Promise<FunctionProcess> {
  const { settings, log } = slot;
  const began = performance.now();
  try {
    const process = await startFunctionProcess(settings, processOptions(context, slot));
    slot.running = process;
    slot.all.add(process);
    process.exited.then(() => {
      slot.all.delete(process);
      forget(slot, process);
      context.log.write({
        level: "info",
        event: "function exited",
        function: settings.name,
        pid: process.pid,
      });
    });
    const ms = Math.round(performance.now() - began);
    context.log.write({
      level: "info",
      event: "function started",
      function: settings.name,
      pid: process.pid,
      ms,
    });
    return process;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    for (const target of [log, context.log]) {
      target.write({ level: "error", event: "BOOT_ERROR", function: settings.name, error: reason });
    }
    throw error;
  }
}

function processOptions({ options }: Context, { settings, log }: Slot): FunctionProcessOptions {
  return {
    env: {
      ...options.env,
      SB_REGION: "local",
      SB_EXECUTION_ID: crypto.randomUUID(),
      DENO_DEPLOYMENT_ID: `local_${settings.name}_1`,
    },
    log,
    lockFile: options.lockFile,
    deno: options.deno,
    marker: options.marker,
    bootTimeoutMs: options.bootTimeoutMs,
    drainMs: options.drainMs,
  };
}

function forget(slot: Slot, process: FunctionProcess): void {
  if (slot.running !== process) return;
  slot.running = undefined;
  slot.process = undefined;
}

async function warm(context: Context): Promise<BootFailure[]> {
  const outcomes = await Promise.all([...context.slots.values()].map(async (slot) => {
    try {
      await processOf(context, slot);
      return [];
    } catch (error) {
      return [{ name: slot.settings.name, error: error instanceof Error ? error.message : String(error) }];
    }
  }));
  return outcomes.flat();
}

async function stop(context: Context, server: Deno.HttpServer): Promise<void> {
  const served = server.shutdown();
  await Promise.allSettled(context.starting);
  const all = [...context.slots.values()].flatMap((slot) => [...slot.all]);
  await Promise.all(all.map((process) => process.stop()));
  await served;
  for (const slot of context.slots.values()) slot.log.close();
  context.log.close();
  context.client.close();
}

/** As hosted: without a custom domain no function answers a page (a GET that yields HTML becomes plain text). */
function asPublished(request: Request, response: Response): Response {
  const headers = new Headers(response.headers);
  for (const name of HOP_HEADERS) headers.delete(name);
  const html = headers.get("content-type")?.startsWith("text/html") ?? false;
  if (request.method === "GET" && html) headers.set("content-type", "text/plain");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

function refuse(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status, headers: { "sb-error-code": code } });
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === "TimeoutError";
}

function isConnectionRefused(error: unknown): boolean {
  return /connection refused/i.test(reasonOf(error));
}

/** Deno tells what is wrong with a connection in the message or in the cause, depending on its version. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
