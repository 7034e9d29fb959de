/**
 * A strict Sentry, as its Relay takes envelopes: refuses what that refuses, and what it would take and drop without a word.
 * Check-ins by URL are those of `watchdogs.ts`.
 */

/** One item as taken. */
export interface TakenItem {
  type: "event" | "check_in";
  payload: Record<string, unknown>;
}

/** A running one. */
export interface FakeSentry {
  handle(request: Request): Promise<Response>;
  readonly dsn: string;
  taken: TakenItem[];
  /** Answers the next envelopes with 429 for so many seconds. */
  throttle(seconds: number | null): void;
}

const PUBLIC_KEY = "89abcdef0123456789abcdef01234567";
const PROJECT = "4506";
/** Bytes of an event. */
const EVENT_LIMIT = 1_000_000;
const LEVELS = ["fatal", "error", "warning", "info", "debug"];
const EVENT_KEYS = [
  "event_id",
  "timestamp",
  "platform",
  "level",
  "logger",
  "transaction",
  "server_name",
  "release",
  "environment",
  "tags",
  "extra",
  "exception",
  "fingerprint",
];

/** @param origin Where it stands: `https://sentry.example.com`. */
export function createSentry(origin: string): FakeSentry {
  const taken: TakenItem[] = [];
  let rest: number | null = null;
  return {
    taken,
    dsn: origin.replace("://", `://${PUBLIC_KEY}@`) + `/${PROJECT}`,
    throttle: (seconds) => void (rest = seconds),
    async handle(request) {
      const { pathname } = new URL(request.url);
      if (pathname !== `/api/${PROJECT}/envelope/`) return refuse(404, "not found");
      if (request.method !== "POST") return refuse(405, "method not allowed");
      const auth = authOf(request.headers.get("x-sentry-auth") ?? "");
      if (auth.sentry_version !== "7") return refuse(400, "missing or unsupported protocol version");
      if (auth.sentry_key !== PUBLIC_KEY) {
        return refuse(403, "event submission rejected with_reason: ProjectId");
      }
      if (!request.headers.get("content-type")?.startsWith("application/x-sentry-envelope")) {
        return refuse(415, "unsupported media type");
      }
      if (rest !== null) {
        const headers = { "retry-after": String(rest), "x-sentry-rate-limits": `${rest}:error:key` };
        return Response.json({ detail: "Sentry dropped data due to a quota" }, { status: 429, headers });
      }
      const items = parseEnvelope(new Uint8Array(await request.arrayBuffer()));
      if (typeof items === "string") return refuse(400, `bad envelope: ${items}`);
      taken.push(...items);
      return Response.json({ id: items[0]?.payload.event_id });
    },
  };
}

/** `Sentry sentry_version=7, sentry_key=…` */
function authOf(header: string): Record<string, string> {
  const [, pairs = ""] = /^Sentry (.+)$/.exec(header) ?? [];
  return Object.fromEntries(pairs.split(",").map((pair) => pair.trim().split("=", 2)));
}

function parseEnvelope(bytes: Uint8Array): TakenItem[] | string {
  let rest = bytes;
  const line = () => {
    const end = rest.indexOf(10);
    const text = new TextDecoder().decode(end < 0 ? rest : rest.subarray(0, end));
    rest = end < 0 ? rest.subarray(rest.length) : rest.subarray(end + 1);
    return text;
  };
  const head = parse(line());
  if (head === null) return "missing envelope header";
  const items: TakenItem[] = [];
  while (rest.length > 0) {
    const item = parse(line());
    if (item === null) return "missing item header";
    const length = item.length === undefined ? rest.indexOf(10) : Number(item.length);
    if (!Number.isInteger(length) || length > rest.length) return "unexpected EOF";
    const payload = parse(new TextDecoder("utf-8", { fatal: true }).decode(rest.subarray(0, length)));
    rest = rest.subarray(length);
    if (rest.length > 0 && rest[0] !== 10) return "missing newline after header or payload";
    rest = rest.subarray(1);
    if (payload === null) return "payload is not JSON";
    const fault = item.type === "event"
      ? eventFault(payload, head, length)
      : item.type === "check_in"
      ? checkInFault(payload)
      : "unknown item type";
    if (fault !== null) return fault;
    items.push({ type: item.type as TakenItem["type"], payload });
  }
  if (items.filter(({ type }) => type === "event").length > 1) return "more than one event";
  return items.length === 0 ? "no item" : items;
}

function eventFault(
  event: Record<string, unknown>,
  head: Record<string, unknown>,
  length: number,
): string | null {
  const unknown = Object.keys(event).find((key) => !EVENT_KEYS.includes(key));
  if (unknown !== undefined) return `event holds "${unknown}"`;
  if (length > EVENT_LIMIT) return "event is too large";
  if (!/^[0-9a-f]{32}$/.test(String(event.event_id)) || event.event_id !== head.event_id) {
    return "bad event_id";
  }
  if (typeof event.timestamp !== "number" || event.timestamp > Date.now() / 1000 + 60) return "bad timestamp";
  if (event.platform !== "javascript" || !LEVELS.includes(String(event.level))) {
    return "bad platform or level";
  }
  if (event.release !== undefined && !/^[^\s/\\]{1,200}$/.test(String(event.release))) return "bad release";
  if (event.environment !== undefined && !/^[^\s/]{1,64}$/.test(String(event.environment))) {
    return "bad environment";
  }
  for (const [key, value] of Object.entries(event.tags ?? {})) {
    if (
      !/^[\w.:-]{1,200}$/.test(key) || typeof value !== "string" || value.length > 200 || value.includes("\n")
    ) {
      return `bad tag "${key}"`;
    }
  }
  return exceptionFault(event.exception as { values?: Record<string, unknown>[] } | undefined);
}

function exceptionFault(exception: { values?: Record<string, unknown>[] } | undefined): string | null {
  if (!Array.isArray(exception?.values) || exception.values.length === 0) return "no exception";
  for (const { type, value, stacktrace } of exception.values) {
    if (typeof type !== "string" || typeof value !== "string") return "exception without type or value";
    if (stacktrace === undefined) continue;
    const { frames } = stacktrace as { frames?: Record<string, unknown>[] };
    if (!Array.isArray(frames) || frames.length === 0) return "stack without frames";
    const bad = frames.some(({ filename, lineno, in_app: inApp }) =>
      typeof filename !== "string" || !Number.isInteger(lineno) || typeof inApp !== "boolean"
    );
    if (bad) return "bad frame";
  }
  return null;
}

function checkInFault(
  { check_in_id: id, monitor_slug: slug, status }: Record<string, unknown>,
): string | null {
  if (!/^[0-9a-f]{32}$/.test(String(id))) return "bad check_in_id";
  if (!/^[a-z0-9_-]{1,50}$/.test(String(slug))) return "bad monitor_slug";
  return ["in_progress", "ok", "error"].includes(String(status)) ? null : "bad status";
}

function refuse(status: number, detail: string): Response {
  return Response.json({ detail }, { status });
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : null;
  } catch {
    return null;
  }
}
