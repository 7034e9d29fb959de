/**
 * A strict dead man's switch, as healthchecks.io pings go, and a strict Sentry, as its Relay takes check-ins; they refuse
 * what those refuse.
 */

/** What one of them took. */
export interface TakenNews {
  watchdog: "dead_man" | "sentry";
  /** `start`, `success` or `fail`; `in_progress`, `ok` or `error`. */
  news: string;
  /** The text of a ping, or the check-in. */
  body: unknown;
}

/** Both, on one host. */
export interface FakeWatchdogs {
  handle(request: Request): Promise<Response>;
  taken: TakenNews[];
  /** Paths that stand for both. */
  readonly pingPath: string;
  readonly dsnPath: string;
  readonly publicKey: string;
}

const PING_ID = "5f3b2c9e-7d1a-4c1e-9a55-0b8c6de1f00d";
const PUBLIC_KEY = "0123456789abcdef0123456789abcdef";
const PROJECT = "4505";
/** Bytes of a ping's body that healthchecks.io keeps. */
const PING_BODY_LIMIT = 100_000;
const STATUSES = ["in_progress", "ok", "error"];
const CHECK_IN_KEYS = ["check_in_id", "monitor_slug", "status", "environment", "duration", "monitor_config"];

export function createWatchdogs(): FakeWatchdogs {
  const taken: TakenNews[] = [];
  return {
    taken,
    pingPath: `/ping/${PING_ID}`,
    dsnPath: `/${PROJECT}`,
    publicKey: PUBLIC_KEY,
    async handle(request) {
      const { pathname } = new URL(request.url);
      const text = await request.text();
      if (pathname.startsWith("/ping/")) return takePing(pathname, request.method, text, taken);
      return takeCheckIn(pathname, request, text, taken);
    },
  };
}

function takePing(path: string, method: string, text: string, taken: TakenNews[]): Response {
  const [, id, action = "success"] = /^\/ping\/([^/]+)(?:\/([a-z]+))?$/.exec(path) ?? [];
  if (id !== PING_ID) return new Response("not found", { status: 404 });
  if (!["success", "start", "fail"].includes(action)) return new Response("not found", { status: 404 });
  if (!["GET", "HEAD", "POST"].includes(method)) return new Response("", { status: 405 });
  if (new TextEncoder().encode(text).length > PING_BODY_LIMIT) {
    return new Response("too long", { status: 413 });
  }
  taken.push({ watchdog: "dead_man", news: action, body: text });
  return new Response("OK");
}

function takeCheckIn(path: string, request: Request, text: string, taken: TakenNews[]): Response {
  const [, project, slug, key] = /^\/api\/(\d+)\/cron\/([a-z0-9_-]{1,50})\/([0-9a-f]+)\/$/.exec(path) ?? [];
  if (slug === undefined) return new Response("", { status: 404 });
  if (project !== PROJECT || key !== PUBLIC_KEY) return refuse(403, "bad sentry DSN public key");
  if (!request.headers.get("content-type")?.startsWith("application/json")) {
    return refuse(400, "invalid query");
  }
  const checkIn = parse(text);
  if (checkIn === null || !STATUSES.includes(String(checkIn.status))) return refuse(400, "invalid check-in");
  if (!/^[0-9a-f]{32}$/.test(String(checkIn.check_in_id))) return refuse(400, "invalid check-in id");
  if (Object.keys(checkIn).some((name) => !CHECK_IN_KEYS.includes(name))) return refuse(400, "unknown field");
  if (checkIn.monitor_config !== undefined && !isMonitor(checkIn.monitor_config)) {
    return refuse(400, "invalid monitor config");
  }
  taken.push({ watchdog: "sentry", news: String(checkIn.status), body: checkIn });
  return new Response(null, { status: 202 });
}

function isMonitor(config: unknown): boolean {
  const { schedule, timezone, checkin_margin: margin, max_runtime: runtime } = config as Record<
    string,
    unknown
  >;
  const { type, value } = (schedule ?? {}) as Record<string, unknown>;
  return type === "crontab" && String(value).trim().split(/\s+/).length === 5 &&
    Intl.supportedValuesOf("timeZone").concat("UTC").includes(String(timezone)) &&
    Number.isInteger(margin) && (runtime === undefined || Number.isInteger(runtime));
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
