/** Supabase's Management API, as far as the monitor reads it: a project's edge functions, and questions to its logs. */
import { z } from "zod";
import type { DeployedFunction } from "../domain/edge_function.ts";
import { AppError } from "../errors.ts";

/** Where the API is and who asks. */
export interface ManagementApi {
  url: string;
  token: string;
}

/** A project as its API knows it. */
export interface ManagedProject {
  name: string;
  ref: string;
}

const edgeFunctions = z.array(z.object({
  id: z.string(),
  slug: z.string(),
  status: z.enum(["ACTIVE", "REMOVED", "THROTTLED"]),
  version: z.number().int(),
  /** Epoch milliseconds. */
  updated_at: z.number().optional(),
}));

/** Some errors come with status 200. */
const logAnswer = z.object({
  result: z.array(z.record(z.string(), z.unknown())).nullable(),
  error: z.unknown().optional(),
});

/** What became of a question to the logs. */
export type LogAnswer =
  | { kind: "rows"; rows: Record<string, unknown>[] }
  /** Too many requests: none before so many milliseconds have passed. */
  | { kind: "limited"; retryAfterMs: number };

const TIMEOUT_MS = 10_000;
/** Where the API does not say how long to wait: its windows have a minute. */
const DEFAULT_WAIT_MS = 60_000;
const LONGEST_WAIT_MS = 3_600_000;

/**
 * Lists the edge functions that a project has deployed.
 *
 * @throws {AppError} `management_api` saying what the API answered; never the token.
 */
export async function listEdgeFunctions(
  api: ManagementApi,
  project: ManagedProject,
): Promise<DeployedFunction[]> {
  const what = `list the edge functions of project "${project.name}"`;
  const response = await ask(api, `/v1/projects/${project.ref}/functions`, what);
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw refusalOf(response.status, what);
  const parsed = edgeFunctions.safeParse(body);
  if (!parsed.success) {
    throw new AppError(
      "management_api",
      `Cannot ${what}: the Management API answered something else than a list`,
    );
  }
  return parsed.data.flatMap(({ id, slug, status, version, updated_at }) =>
    status === "REMOVED" ? [] : [{ functionId: id, slug, status, version, deployedAt: updated_at ?? null }]
  );
}

/**
 * Asks a project's logs, in ClickHouse's SQL.
 *
 * @param window Instants, epoch milliseconds; at most 24 hours apart.
 * @throws {AppError} `management_api` saying what the API answered; never the token.
 */
export async function askLogs(
  api: ManagementApi,
  project: ManagedProject,
  sql: string,
  window: { from: number; until: number },
): Promise<LogAnswer> {
  const what = `read the logs of project "${project.name}"`;
  const query = new URLSearchParams({
    sql,
    iso_timestamp_start: new Date(window.from).toISOString(),
    iso_timestamp_end: new Date(window.until).toISOString(),
  });
  const response = await ask(api, `/v1/projects/${project.ref}/analytics/endpoints/logs?${query}`, what);
  const body: unknown = await response.json().catch(() => null);
  if (response.status === 429) return { kind: "limited", retryAfterMs: waitOf(response.headers) };
  if (!response.ok) throw refusalOf(response.status, what);
  const parsed = logAnswer.safeParse(body);
  if (!parsed.success) {
    throw new AppError(
      "management_api",
      `Cannot ${what}: the Management API answered something else than rows`,
    );
  }
  const { result, error } = parsed.data;
  if (result === null || (error !== undefined && error !== null)) {
    throw new AppError("management_api", `Cannot ${what}: the logs answered an error${quoted(error)}`, {
      retryable: true,
    });
  }
  return { kind: "rows", rows: result };
}

async function ask(api: ManagementApi, path: string, what: string): Promise<Response> {
  try {
    return await fetch(`${api.url.replace(/\/+$/, "")}${path}`, {
      headers: { authorization: `Bearer ${api.token}`, accept: "application/json" },
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    const why = error instanceof DOMException && error.name === "TimeoutError"
      ? "no answer in time"
      : "it cannot be reached";
    throw new AppError("management_api", `Cannot ${what}: the Management API: ${why}`, { retryable: true });
  }
}

function refusalOf(status: number, what: string): AppError {
  return new AppError("management_api", `Cannot ${what}: ${explain(status)}`, {
    retryable: status === 429 || status >= 500,
  });
}

function explain(status: number): string {
  switch (status) {
    case 401:
      return "the Management API refused the token; renew MANAGEMENT_API_TOKEN";
    case 403:
      return "the token may not see this project";
    case 404:
      return "the Management API does not know its ref; check monitored_projects.project_ref";
    case 429:
      return "too many requests to the Management API; it is tried again next time";
    default:
      return `the Management API answered ${status}`;
  }
}

/** `Retry-After` and `X-RateLimit-Reset` are seconds that remain. */
function waitOf(headers: Headers): number {
  const seconds = [headers.get("retry-after"), headers.get("x-ratelimit-reset")]
    .flatMap((value) => value !== null && /^\d{1,6}(\.\d+)?$/.test(value.trim()) ? [Number(value)] : []);
  const wait = seconds.length === 0 ? DEFAULT_WAIT_MS : Math.max(...seconds) * 1000;
  return Math.min(Math.max(wait, 1_000), LONGEST_WAIT_MS);
}

/** What the logs said of our own query: it holds nothing secret. */
function quoted(error: unknown): string {
  const message = typeof error === "object" && error !== null && "message" in error ? error.message : error;
  if (typeof message !== "string" || message.trim() === "") return "";
  return ` (${message.replace(/\s+/g, " ").trim().slice(0, 200).toWellFormed()})`;
}
