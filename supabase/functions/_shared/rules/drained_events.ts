/** What a log drain sends, read leniently: one strange event is passed over, never a lost batch. */
import { HEALTH_CHECK_AGENT_PREFIX } from "../domain/edge_function.ts";
import type { DrainedMinute } from "../domain/function_report.ts";

/** What a batch came to. */
export interface DrainedBatch {
  minutes: DrainedMinute[];
  events: number;
  /** Invocations among them. */
  counted: number;
  /** Invocations of the monitor's own receivers, and its health checks. */
  dropped: number;
  /** Everything else: other logs, or no event at all. */
  ignored: number;
}

/** How {@link countDrained} counts. */
export interface DrainOptions {
  /** The hub's clock, epoch milliseconds. */
  now: number;
  /** Whether a function's own events must not count, so that a drain cannot feed on itself. */
  isOwn(functionName: string): boolean;
}

const MINUTE_MS = 60_000;
/** Events from farther away in time are nobody's: no drain delivers them. */
const OLDEST_MS = 24 * 60 * MINUTE_MS;
const NEWEST_MS = 10 * MINUTE_MS;

/**
 * Counts the invocations in a batch, by function and minute. An invocation is an event whose metadata has a function
 * and a response's status (`function_edge_logs`), nested, in one-element arrays or with dotted keys.
 */
export function countDrained(events: readonly unknown[], options: DrainOptions): DrainedBatch {
  const minutes = new Map<string, DrainedMinute>();
  const batch: DrainedBatch = { minutes: [], events: events.length, counted: 0, dropped: 0, ignored: 0 };
  for (const event of events) {
    const seen = invocationOf(event, options.now);
    if (seen === null) batch.ignored++;
    else if (seen.isHealthCheck || (seen.functionName !== null && options.isOwn(seen.functionName))) {
      batch.dropped++;
    } else {
      batch.counted++;
      add(minutes, seen);
    }
  }
  batch.minutes = [...minutes.values()];
  return batch;
}

interface Invocation {
  functionName: string | null;
  functionId: string | null;
  minute: number;
  status: number;
  durationMs: number;
  isHealthCheck: boolean;
}

function add(minutes: Map<string, DrainedMinute>, seen: Invocation): void {
  const { functionName, functionId, minute, status, durationMs } = seen;
  const key = `${functionId ?? ""} ${functionName ?? ""} ${minute}`;
  let counts = minutes.get(key);
  if (counts === undefined) {
    const none = { invocations: 0, errors: 0, clientErrors: 0, durationTotalMs: 0, durationMaxMs: 0 };
    minutes.set(key, counts = { functionName, functionId, minute, ...none });
  }
  counts.invocations++;
  if (status >= 500) counts.errors++;
  else if (status >= 400) counts.clientErrors++;
  counts.durationTotalMs += durationMs;
  counts.durationMaxMs = Math.max(counts.durationMaxMs, durationMs);
}

function invocationOf(event: unknown, now: number): Invocation | null {
  const metadata = field(event, "metadata");
  const status = numberOf(field(metadata, "response", "status_code"));
  if (status === null || status < 100 || status > 599) return null;
  const functionId = nameOf(field(metadata, "function_id"));
  const functionName = slugOf(field(metadata, "request", "pathname") ?? field(metadata, "request", "path"));
  if (functionId === null && functionName === null) return null;
  const at = instantOf(field(event, "timestamp"));
  if (at === null || at < now - OLDEST_MS || at > now + NEWEST_MS) return null;
  const duration = numberOf(field(metadata, "execution_time_ms")) ?? 0;
  const agent = field(metadata, "request", "headers", "user_agent");
  return {
    functionName,
    functionId,
    minute: Math.floor(at / MINUTE_MS) * MINUTE_MS,
    status,
    durationMs: Math.min(Math.max(duration, 0), 24 * 60 * MINUTE_MS),
    isHealthCheck: typeof agent === "string" && agent.startsWith(HEALTH_CHECK_AGENT_PREFIX),
  };
}

/** A field by its path, which may pass through one-element arrays, or be one dotted key. */
function field(container: unknown, ...path: readonly string[]): unknown {
  let value = unwrapped(container);
  for (let i = 0; i < path.length; i++) {
    if (typeof value !== "object" || value === null) return undefined;
    const table = value as Record<string, unknown>;
    const dotted = path.slice(i).join(".");
    if (dotted in table) return unwrapped(table[dotted]);
    value = unwrapped(table[path[i] ?? ""]);
  }
  return value;
}

function unwrapped(value: unknown): unknown {
  return Array.isArray(value) ? value[0] : value;
}

function numberOf(value: unknown): number | null {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}

/** `sync-leads` of `/functions/v1/sync-leads/any/path`. */
function slugOf(pathname: unknown): string | null {
  if (typeof pathname !== "string") return null;
  const slug = /^\/(?:functions\/v1\/)?([A-Za-z0-9][\w-]{0,127})(?:[/?]|$)/.exec(pathname)?.[1];
  return slug ?? null;
}

function nameOf(value: unknown): string | null {
  return typeof value === "string" && /^[\w-]{1,128}$/.test(value) ? value : null;
}

/** Microseconds, milliseconds or seconds since 1970, or ISO 8601. */
function instantOf(value: unknown): number | null {
  if (typeof value === "string" && !/^\d+(\.\d+)?$/.test(value)) {
    const parsed = Date.parse(value);
    return Number.isNaN(parsed) ? null : parsed;
  }
  const number = numberOf(value);
  if (number === null) return null;
  if (number > 1e14) return number / 1000;
  return number > 1e11 ? number : number * 1000;
}
