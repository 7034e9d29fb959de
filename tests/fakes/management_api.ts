/**
 * A strict fake of Supabase's Management API on loopback: refuses what the real one refuses. Its logs understand the one
 * question that the monitor asks, and answer it from the invocations that a test has put in.
 */

/** A deployed function, with what matters to a test. */
export interface FakeFunction {
  slug: string;
  /** Default: the same for each slug. */
  id?: string;
  status?: "ACTIVE" | "REMOVED" | "THROTTLED";
  version?: number;
}

/** One line of `function_edge_logs`. */
export interface FakeInvocation {
  slug: string;
  /** Epoch milliseconds. */
  at: number;
  status: number;
  /** Default 12. */
  executionTimeMs?: number;
  /** Default: a browser's. */
  userAgent?: string;
}

/** A question to the logs, as it was asked. */
export interface LogQuestion {
  ref: string;
  sql: string;
  /** Epoch milliseconds. */
  from: number;
  until: number;
  status: number;
}

/** The running fake. */
export interface FakeManagementApi extends AsyncDisposable {
  url: string;
  /** What the project with this ref has deployed. */
  deploy(ref: string, functions: readonly FakeFunction[]): void;
  /** Adds lines to the logs of a project. */
  invoke(ref: string, invocations: readonly FakeInvocation[]): void;
  /** The logs' answers from now on: as asked; or status 200 with `{result: null, error}`. */
  breakLogs(error: string | null): void;
  /** Every question to the logs, oldest first. */
  questions(): readonly LogQuestion[];
}

/** How {@link startManagementApi} starts. */
export interface ManagementApiOptions {
  /** The only token that is accepted. */
  token: string;
  /** Requests to the logs that are answered before 429. Default 30, as the real one allows in a minute. */
  logRequests?: number;
}

const LOGS_PATH = /^\/v1\/projects\/([a-z]{20})\/analytics\/endpoints\/(logs|logs\.all)$/;
const FUNCTIONS_PATH = /^\/v1\/projects\/([a-z]{20})\/functions$/;
const DAY_MS = 86_400_000;
const ROWS_LIMIT = 1_000;
/** What the monitor asks must name a source, its columns and a limit; the API refuses everything else. */
const REQUIRED = [
  /\bfrom logs\b/,
  /source = 'function_edge_logs'/,
  /log_attributes\['function_id'\]/,
  /response\.status_code/,
  /execution_time_ms/,
  /toStartOfMinute\(timestamp\)/,
  /group by function_id, minute/,
  /limit (\d+)$/,
];
/** Of the BigQuery of before, which the endpoint no longer speaks. */
const FORBIDDEN = [/select \*/i, /unnest/i, /timestamp_trunc/i, /;/];

/** Starts it; only the given token is accepted. */
export function startManagementApi(options: ManagementApiOptions): FakeManagementApi {
  const deployed = new Map<string, readonly FakeFunction[]>();
  const logged = new Map<string, FakeInvocation[]>();
  const questions: LogQuestion[] = [];
  let fault: string | null = null;
  const answerLogs = (ref: string, url: URL): Response => {
    const sql = url.searchParams.get("sql") ?? "";
    const from = Date.parse(url.searchParams.get("iso_timestamp_start") ?? "");
    const until = Date.parse(url.searchParams.get("iso_timestamp_end") ?? "");
    const note = (response: Response) => {
      questions.push({ ref, sql, from, until, status: response.status });
      return response;
    };
    if (questions.length >= (options.logRequests ?? 30)) return note(tooMany());
    const wrong = faultOf(sql, from, until);
    if (wrong !== null) return note(Response.json({ message: wrong }, { status: 400 }));
    if (fault !== null) return note(Response.json({ result: null, error: { message: fault } }));
    const ids = new Map((deployed.get(ref) ?? []).map((one) => [one.slug, idOf(one)]));
    const lines = (logged.get(ref) ?? []).filter(({ at }) => at >= from && at < until);
    const limit = Number(/limit (\d+)$/.exec(sql)?.[1] ?? 0);
    return note(Response.json({ result: countLines(lines, sql, ids).slice(0, limit), error: null }));
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const url = new URL(request.url);
    if (request.headers.get("authorization") !== `Bearer ${options.token}`) {
      return Response.json({ message: "Unauthorized" }, { status: 401 });
    }
    const [, logsRef, endpoint] = LOGS_PATH.exec(url.pathname) ?? [];
    const ref = logsRef ?? FUNCTIONS_PATH.exec(url.pathname)?.[1];
    const functions = ref === undefined ? undefined : deployed.get(ref);
    if (ref === undefined || functions === undefined) {
      return Response.json({ message: "Project not found" }, { status: 404 });
    }
    if (request.method !== "GET") return Response.json({ message: "Method not allowed" }, { status: 405 });
    // retired in September 2026
    if (endpoint === "logs.all") return Response.json({ message: "Gone" }, { status: 410 });
    return endpoint === undefined ? Response.json(functions.map(describe)) : answerLogs(ref, url);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    deploy: (ref, functions) => void deployed.set(ref, functions),
    invoke: (ref, invocations) => void logged.set(ref, [...logged.get(ref) ?? [], ...invocations]),
    breakLogs: (error) => void (fault = error),
    questions: () => questions,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function tooMany(): Response {
  return Response.json({ message: "ThrottlerException: Too Many Requests" }, {
    status: 429,
    headers: { "retry-after": "30", "x-ratelimit-limit": "30", "x-ratelimit-reset": "30" },
  });
}

function faultOf(sql: string, from: number, until: number): string | null {
  if (Number.isNaN(from) || Number.isNaN(until)) {
    return "iso_timestamp_start and iso_timestamp_end are both required";
  }
  if (until <= from) return "iso_timestamp_end must be after iso_timestamp_start";
  if (until - from > DAY_MS) return "The time range may not exceed 24 hours";
  if (FORBIDDEN.some((pattern) => pattern.test(sql))) return "The query is not supported";
  const missing = REQUIRED.find((pattern) => !pattern.test(sql));
  if (missing !== undefined) return `The query is not supported: ${missing.source}`;
  return Number(/limit (\d+)$/.exec(sql)?.[1]) > ROWS_LIMIT ? "At most 1000 rows" : null;
}

/** Counts as text, as ClickHouse gives what it counts in 64 bits; without the user agents that the query excludes. */
function countLines(lines: readonly FakeInvocation[], sql: string, ids: ReadonlyMap<string, string>) {
  const excluded = /user_agent'\] not like '([^'%]+)%'/.exec(sql)?.[1];
  const groups = Map.groupBy(
    lines.filter(({ userAgent = "Mozilla/5.0" }) =>
      excluded === undefined || !userAgent.startsWith(excluded)
    ),
    ({ slug, at }) => JSON.stringify([Math.floor(at / 60_000) * 60, ids.get(slug) ?? idOf({ slug })]),
  );
  const rows = [...groups].map(([key, group]) => {
    const [minute, functionId]: [number, string] = JSON.parse(key);
    const times = group.map(({ executionTimeMs = 12 }) => executionTimeMs);
    return {
      function_id: functionId,
      minute,
      invocations: String(group.length),
      errors: String(group.filter(({ status }) => status >= 500).length),
      client_errors: String(group.filter(({ status }) => status >= 400 && status < 500).length),
      duration_total_ms: times.reduce((sum, one) => sum + one, 0),
      duration_max_ms: Math.max(...times),
    };
  });
  return rows.sort((a, b) => a.minute - b.minute || a.function_id.localeCompare(b.function_id));
}

function idOf({ slug, id }: FakeFunction): string {
  return id ??
    `00000000-0000-4000-8000-${
      [...slug].map((c) => c.charCodeAt(0).toString(16)).join("").padEnd(12, "0").slice(0, 12)
    }`;
}

function describe(one: FakeFunction) {
  const { slug, status = "ACTIVE", version = 1 } = one;
  const now = Date.parse("2026-11-01T00:00:00Z");
  return {
    id: idOf(one),
    slug,
    name: slug,
    status,
    version,
    created_at: now,
    updated_at: now,
    verify_jwt: false,
  };
}
