/**
 * `withExecutionLog(name, handler)`: reports each execution of an edge function to Supabase Job Monitor.
 *
 * This file is for any project: copy it, it needs nothing else. Where the reports go is told by two secrets of the
 * project; without them the handler runs as if this file were not there.
 *
 *     EXECUTION_LOG_URL    https://<ref of the hub>.supabase.co/functions/v1/record-execution
 *     EXECUTION_LOG_TOKEN  what "select monitoring.create_report_token('<project>', 'executions')" answered on the hub
 *
 * What it promises to the function it wraps: the same answer or the same error, at the same time. It hands the request
 * on and the answer back as they are, reads no body, waits for nothing, throws nothing, and sends its report after the
 * answer. While the hub is down or slow, reports are dropped.
 */

/** What `Deno.serve` takes, with whatever else the caller hands over. */
export type Handler<Rest extends unknown[] = []> = (
  request: Request,
  ...rest: Rest
) => Response | Promise<Response>;

/** How {@link withExecutionLog} reports; everything has a default. */
export interface ExecutionLogOptions {
  /** Where reports go. Default: the secret `EXECUTION_LOG_URL`. */
  url?: string | undefined;
  /** Default: the secret `EXECUTION_LOG_TOKEN`. */
  token?: string | undefined;
  /** An execution that has not answered after so many milliseconds is told as running. Default 20,000. */
  tellRunningAfterMs?: number;
  /** How long reports are gathered, in milliseconds, so that a busy function sends few. Default 500. */
  gatherMs?: number;
  /** Longest time that a report may take, in milliseconds. Default 3,000. */
  timeoutMs?: number;
  /** Told why a report could not be sent, such as a wrong token. By default nobody is. */
  onProblem?: (problem: string) => void;
  fetch?: typeof fetch;
}

/** One execution in a report. */
interface Execution {
  id: string;
  function: string;
  status: "running" | "success" | "failed";
  started_at: string;
  ended_at: string | null;
  duration_ms: number | null;
  http_status: number | null;
  error: { name: string; message: string } | null;
}

/** Executions of one report, and those that may wait: more are dropped. */
const BATCH = 50;
const QUEUE_LIMIT = 500;
/** After a failure nothing is sent for so long: a hub that is down is left alone. */
const REST_MS = 30_000;
const MESSAGE_LIMIT = 1_000;

/** Health checks of the monitor are no invocations. */
const HEALTH_CHECK_AGENT = /^supabase-job-monitor\//;

declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void } | undefined;

/**
 * Wraps a handler: `Deno.serve(withExecutionLog("sync-leads", handler))`.
 *
 * @param name The function's slug, as in its URL.
 */
export function withExecutionLog<Rest extends unknown[] = []>(
  name: string,
  handler: Handler<Rest>,
  options: ExecutionLogOptions = {},
): Handler<Rest> {
  const reporter = quietly(() => createReporter(name, options));
  if (reporter === undefined || reporter === null) return handler;
  return function (this: unknown, request: Request, ...rest: Rest): Response | Promise<Response> {
    const execution = quietly(() => reporter.begin(request));
    let answer: Response | Promise<Response>;
    try {
      answer = handler.call(this, request, ...rest);
    } catch (error) {
      quietly(() => execution?.end({ error }));
      throw error;
    }
    quietly(() => {
      if (!(answer instanceof Promise)) execution?.end({ answer });
      // a second pair of ears at the same promise: the caller gets it as it is
      else {
        answer.then(
          (answer) => quietly(() => execution?.end({ answer })),
          (error) => quietly(() => execution?.end({ error })),
        );
      }
    });
    return answer;
  };
}

interface RunningExecution {
  end(outcome: { answer: unknown } | { error: unknown }): void;
}

interface Reporter {
  begin(request: Request): RunningExecution | undefined;
}

/** `null`: nobody has said where reports go. */
function createReporter(name: string, options: ExecutionLogOptions): Reporter | null {
  const url = options.url ?? secret("EXECUTION_LOG_URL");
  const token = options.token ?? secret("EXECUTION_LOG_TOKEN");
  if (!url || !token) return null;
  const sender = createSender(url, token, options);
  const running = new Set<Execution>();
  // the runtime says so before it ends a worker, also one that took too long
  const tellRunning = () => {
    for (const execution of running) sender.send(() => execution);
    sender.flush();
  };
  quietly(() => addEventListener("beforeunload", () => quietly(tellRunning)));
  return { begin: (request) => begin(name, request, options, sender, running) };
}

function begin(
  name: string,
  request: Request,
  { tellRunningAfterMs = 20_000 }: ExecutionLogOptions,
  sender: Sender,
  running: Set<Execution>,
): RunningExecution | undefined {
  if (HEALTH_CHECK_AGENT.test(request.headers.get("user-agent") ?? "")) return undefined;
  const began = performance.now();
  const execution: Execution = {
    id: crypto.randomUUID(),
    function: name,
    status: "running",
    started_at: new Date().toISOString(),
    ended_at: null,
    duration_ms: null,
    http_status: null,
    error: null,
  };
  running.add(execution);
  const late = setTimeout(() => quietly(() => sender.send(() => execution)), tellRunningAfterMs);
  quietly(() => Deno.unrefTimer(late));
  return {
    end(outcome) {
      clearTimeout(late);
      running.delete(execution);
      const httpStatus = "answer" in outcome ? statusOf(outcome.answer) : null;
      const failed = "error" in outcome || (httpStatus ?? 0) >= 500;
      const ended: Execution = {
        ...execution,
        status: failed ? "failed" : "success",
        ended_at: new Date().toISOString(),
        duration_ms: Math.max(0, performance.now() - began),
        http_status: httpStatus,
      };
      // who called still waits for the answer: what was thrown is read later
      sender.send("error" in outcome ? () => ({ ...ended, error: errorOf(outcome.error) }) : () => ended);
    },
  };
}

interface Sender {
  /** @param read Gives the execution when it is to be sent. */
  send(read: () => Execution): void;
  /** Sends what is gathered without waiting for more. */
  flush(): void;
}

/** Gathers executions and sends them in the background, a few at a time, or drops them. */
function createSender(url: string, token: string, options: ExecutionLogOptions): Sender {
  const { gatherMs = 500, timeoutMs = 3_000, onProblem, fetch = globalThis.fetch } = options;
  let queue: (() => Execution)[] = [];
  let sending = false;
  let restUntil = 0;
  const post = async (executions: Execution[]) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", "x-report-token": token },
      body: JSON.stringify({ executions }),
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Refusal(`The hub answered ${response.status}`);
  };
  const drain = async (waitMs: number) => {
    try {
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      while (queue.length > 0) await post(queue.splice(0, BATCH).map((read) => read()));
    } catch (error) {
      queue = [];
      restUntil = Date.now() + REST_MS;
      // the message of a network's error holds the URL
      const why = error instanceof Refusal ? error.message : "The hub could not be reached";
      quietly(() => onProblem?.(why));
    } finally {
      // in the same breath as the last look at the queue, so that nothing is left in it
      sending = false;
    }
  };
  const begin = (waitMs: number) => {
    const work = drain(waitMs);
    if (typeof EdgeRuntime !== "undefined") EdgeRuntime.waitUntil(work);
  };
  return {
    send(read) {
      if (Date.now() < restUntil || queue.length >= QUEUE_LIMIT) return;
      queue.push(read);
      if (sending) return;
      sending = true;
      begin(gatherMs);
    },
    flush: () => begin(0),
  };
}

class Refusal extends Error {}

function secret(name: string): string | undefined {
  return quietly(() => Deno.env.get(name));
}

/** Whatever goes wrong in here is nobody's business. */
function quietly<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function statusOf(answer: unknown): number | null {
  if (typeof answer !== "object" || answer === null || !("status" in answer)) return null;
  const { status } = answer;
  return typeof status === "number" && status >= 100 && status <= 599 ? status : null;
}

function errorOf(error: unknown): Execution["error"] {
  return quietly(() => {
    const { name, message } = error instanceof Error ? error : { name: "Error", message: describe(error) };
    return { name: bounded(name, 100), message: bounded(message, MESSAGE_LIMIT) };
  }) ?? { name: "Error", message: "an error that cannot be read" };
}

function describe(thrown: unknown): string {
  if (typeof thrown === "string") return thrown;
  return quietly(() => JSON.stringify(thrown, smallParts())) ?? typeof thrown;
}

/** For `JSON.stringify()`: the first parts of an object, each once, however large or circular it is. */
function smallParts(): (key: string, value: unknown) => unknown {
  const seen = new WeakSet();
  let left = 100;
  return (_key, value) => {
    if (left-- <= 0) return undefined;
    if (typeof value === "string") return value.slice(0, MESSAGE_LIMIT);
    if (typeof value !== "object" || value === null) return typeof value === "bigint" ? String(value) : value;
    if (seen.has(value)) return undefined;
    seen.add(value);
    return Array.isArray(value) ? value.slice(0, 10) : value;
  };
}

function bounded(text: unknown, limit: number): string {
  // cut first: a huge message must not cost the function its time
  return withoutSecrets(String(text).slice(0, 4 * limit)).slice(0, limit).toWellFormed();
}

/** The most telling shapes of secrets; the hub takes out the others before anything is stored. */
function withoutSecrets(text: string): string {
  return text
    .replace(/(:\/\/[^\s:\/@"'<>]{0,128}):[^\s"'<>]{1,256}@/g, "$1:***@")
    .replace(/(?<![A-Za-z0-9])eyJ[\w-]{8,4096}\.[\w-]{4,4096}(?:\.[\w-]{0,4096})?/g, "***")
    .replace(
      /(?<![A-Za-z0-9])(sb_secret_|sb_publishable_|sbp_|sjm_|sk_live_|sk-|xox[a-z]-|gh[opsur]_)[\w-]{6,256}/g,
      "$1***",
    )
    .replace(/(\bbearer\s{1,4})[\w.~+\/=-]{8,4096}/gi, "$1***")
    .replace(
      /((?:password|secret|api[_-]?key|token)["']?\s{0,4}[:=]\s{0,4}["']?)[^\s"',;&}]{1,512}/gi,
      "$1***",
    );
}
