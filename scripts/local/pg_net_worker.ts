/**
 * STAND-IN for the background worker of pg_net 0.20: sends what `net.http_post` and its kin have queued, in batches, each
 * batch one transaction. So responses are seen only when the slowest request of their batch has ended, and what is
 * queued meanwhile waits that long.
 *
 * What differs from pg_net: an ordinary client takes the worker's place; names of response headers are in lower case;
 * a timeout's message does not know DNS and handshake times; a GET cannot have a body, which `net.http_get` never gives.
 */
import postgres from "postgres";
import { z } from "zod";

/** How {@link startPgNetWorker} works; the defaults are pg_net's. */
export interface PgNetWorkerOptions {
  /** The hub's database as superuser `supabase_admin`. */
  adminDbUrl: string;
  /** Requests of one batch. Default 200. */
  batchSize?: number;
  /** How long responses are kept, as a Postgres interval. Default `6 hours`. */
  ttl?: string;
  /** Told when the database cannot be reached, and again when it can. */
  log?: (line: string) => void;
}

/** A worker at work. */
export interface PgNetWorker {
  /** Breaks off the current batch, whose requests then stay queued, and ends the connection. */
  stop(): Promise<void>;
}

/** `net.check_worker_is_up()` looks for this name. */
const APPLICATION_NAME = "pg_net stand-in worker";
const CHANNEL = "pg_net_stand_in";
const USER_AGENT = "pg_net/0.20 stand-in";
/** pg_net looks again a second after a batch, and restarts a second after a crash. */
const PAUSE_MS = 1_000;
const RECONNECT_SECONDS = 0.2;

const requestRow = z.object({
  id: z.string(),
  method: z.string(),
  url: z.string(),
  timeout_milliseconds: z.number().int(),
  headers: z.record(z.string(), z.string().nullable()).nullable(),
  body: z.instanceof(Uint8Array<ArrayBuffer>).nullable(),
});
type RequestRow = z.infer<typeof requestRow>;

/** A row of `net._http_response`. */
interface ResponseRow {
  status_code: number | null;
  content_type: string | null;
  headers: Record<string, string> | null;
  content: string | null;
  timed_out: boolean | null;
  error_msg: string | null;
}

/** Starts the worker; resolves when it listens. Whatever is queued already is sent at once. */
export async function startPgNetWorker(options: PgNetWorkerOptions): Promise<PgNetWorker> {
  const { adminDbUrl, batchSize = 200, ttl = "6 hours", log = () => {} } = options;
  const sql = postgres(adminDbUrl, {
    max: 1,
    backoff: () => RECONNECT_SECONDS,
    onnotice: () => {},
    connection: { application_name: APPLICATION_NAME },
  });
  const stopping = new AbortController();
  const bell = createBell();
  // also called when the connection was lost and is back: what was queued meanwhile rang no bell
  await sql.listen(CHANNEL, bell.ring, bell.ring);

  const run = async () => {
    let busy = false;
    while (!stopping.signal.aborted) {
      await bell.rung(busy ? PAUSE_MS : undefined);
      if (stopping.signal.aborted) return;
      busy = await sendBatch(sql, { batchSize, ttl }, stopping.signal).catch((error) => {
        if (!stopping.signal.aborted) log(`Cannot process the queue of pg_net: ${String(error?.message)}`);
        return true;
      });
    }
  };
  const running = run();
  return {
    stop: async () => {
      stopping.abort();
      bell.ring();
      await running;
      await sql.end({ timeout: 2 });
    },
  };
}

/** Remembers that it was rung until somebody waits for it. */
function createBell(): { ring(): void; rung(atMostMs?: number): Promise<void> } {
  let bell = Promise.withResolvers<void>();
  return {
    ring: () => bell.resolve(),
    rung: async (atMostMs) => {
      const timer = atMostMs === undefined ? undefined : setTimeout(bell.resolve, atMostMs);
      await bell.promise;
      clearTimeout(timer);
      bell = Promise.withResolvers<void>();
    },
  };
}

/** One batch; answers whether there was anything to do. */
async function sendBatch(
  sql: postgres.Sql,
  { batchSize, ttl }: { batchSize: number; ttl: string },
  stopping: AbortSignal,
): Promise<boolean> {
  return await sql.begin(async (transaction) => {
    // both at once and in this order, or a truncate of both could deadlock with us
    await transaction`lock table net.http_request_queue, net._http_response in row exclusive mode`;
    const expired = await transaction`
      with expired as (
        select ctid from net._http_response
        where created < now() - ${ttl}::interval
        order by created limit ${batchSize}
      )
      delete from net._http_response response using expired where response.ctid = expired.ctid`;
    const taken = await transaction`
      with due as (select id from net.http_request_queue order by id limit ${batchSize})
      delete from net.http_request_queue queue using due where queue.id = due.id
      returning queue.id::text, queue.method::text, queue.url, queue.timeout_milliseconds, queue.body,
        case when queue.headers is not null then
          (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each_text(queue.headers))
        end as headers`;
    await Promise.all(taken.map(async (row) => {
      const request = requestRow.parse(row);
      const response = await send(request, stopping);
      // the transaction of a batch that is broken off must not commit
      stopping.throwIfAborted();
      await transaction`insert into net._http_response ${transaction({ id: request.id, ...response })}`;
    }));
    return expired.count > 0 || taken.count > 0;
  });
}

/** Sends one request; whatever goes wrong is a response too. */
async function send(request: RequestRow, stopping: AbortSignal): Promise<ResponseRow> {
  const began = performance.now();
  const timeoutMs = request.timeout_milliseconds;
  // zero means no limit to libcurl
  const timeout = timeoutMs > 0 ? [AbortSignal.timeout(timeoutMs)] : [];
  const failed = { status_code: null, content_type: null, headers: null, content: null };
  if (!/^https?:/i.test(request.url)) {
    return { ...failed, timed_out: false, error_msg: "Unsupported protocol" };
  }
  try {
    const method = request.method.toUpperCase();
    const response = await fetch(request.url, {
      method,
      headers: requestHeaders(request.headers),
      body: method === "GET" ? null : request.body,
      signal: AbortSignal.any([stopping, ...timeout]),
    });
    const content = await response.text();
    return {
      status_code: response.status,
      content_type: response.headers.get("content-type"),
      headers: Object.fromEntries(response.headers),
      content: content === "" ? null : content.split("\0", 1)[0]!,
      timed_out: false,
      error_msg: null,
    };
  } catch (error) {
    const timedOut = timeout[0]?.aborted ?? false;
    const totalMs = performance.now() - began;
    const error_msg = timedOut ? timeoutMessage(timeoutMs, totalMs) : libcurlMessage(error);
    return { ...failed, timed_out: timedOut, error_msg };
  }
}

/** A NULL value drops its header, which pg_net's callers notice as a silent 401. */
function requestHeaders(headers: RequestRow["headers"]): Headers {
  const given = Object.entries(headers ?? {}).flatMap(([name, value]) =>
    value === null ? [] : [[name, value] as [string, string]]
  );
  const result = new Headers(given);
  if (headers !== null && !result.has("user-agent")) result.set("user-agent", USER_AGENT);
  return result;
}

function timeoutMessage(timeoutMs: number, totalMs: number): string {
  const ms = (value: number) => `${value.toFixed(6)} ms`;
  return `Timeout of ${timeoutMs} ms reached. Total time: ${ms(totalMs)} ` +
    `(DNS time: ${ms(0)}, TCP/SSL handshake time: ${ms(0)}, HTTP Request/Response time: ${ms(totalMs)})`;
}

/** What Deno's errors say, and what libcurl says in that case. The first that fits counts. */
const LIBCURL_MESSAGES: [RegExp, string][] = [
  [/dns error|failed to lookup/i, "Couldn't resolve host name"],
  [/certificate/i, "SSL peer certificate or SSH remote key was not OK"],
  [/tls|handshake|corrupt message|InvalidContentType/i, "SSL connect error"],
  [
    /tcp connect error|connection refused|client error \(Connect\)|unreachable/i,
    "Couldn't connect to server",
  ],
  [/connection closed before message completed/i, "Server returned nothing (no headers, no data)"],
  [/invalid HTTP|error parsing|parse error/i, "Weird server reply"],
  [/redirect/i, "Number of redirects hit maximum amount"],
  [/invalid url/i, "URL using bad/illegal format or missing URL"],
  [/header (name|value)|ByteString/i, "A libcurl function was given a bad argument"],
];

/** Never Deno's own text: it holds the whole URL. */
function libcurlMessage(error: unknown): string {
  const text = error instanceof Error ? `${error.message} ${String(error.cause ?? "")}` : "";
  return LIBCURL_MESSAGES.find(([pattern]) => pattern.test(text))?.[1] ??
    "Failure when receiving data from the peer";
}
