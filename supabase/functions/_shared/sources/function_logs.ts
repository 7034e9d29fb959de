/** Invocations of a project's edge functions, counted per function and minute by the logs themselves. */
import { z } from "zod";
import {
  HEALTH_CHECK_AGENT_PREFIX,
  type InvocationMinute,
  type LogReading,
  type LogState,
} from "../domain/edge_function.ts";
import { AppError, describeError } from "../errors.ts";
import { askLogs, type ManagedProject, type ManagementApi } from "./management_api.ts";

const MINUTE_MS = 60_000;
/** Logs come late: so much of what was read is read again. */
const OVERLAP_MS = 5 * MINUTE_MS;
/** How far back a first look goes. */
const FIRST_LOOK_MS = 60 * MINUTE_MS;
/** The API takes 24 hours at most; a minute less, so that clocks may differ. */
const WINDOW_MS = 24 * 60 * MINUTE_MS - MINUTE_MS;
/** Rows that an answer has at most. */
const ROWS_LIMIT = 1_000;
/** Questions for one project at one look; the rest is asked next time. */
const PAGES = 5;

const status = "toInt32OrZero(log_attributes['response.status_code'])";
const duration = "toFloat64OrZero(log_attributes['execution_time_ms'])";

/** Health checks of our own are none of anybody's invocations. */
const SQL = "select log_attributes['function_id'] as function_id, " +
  "toUnixTimestamp(toStartOfMinute(timestamp)) as minute, count() as invocations, " +
  `countIf(${status} >= 500) as errors, countIf(${status} >= 400 and ${status} < 500) as client_errors, ` +
  `sum(${duration}) as duration_total_ms, max(${duration}) as duration_max_ms ` +
  "from logs where source = 'function_edge_logs' " +
  `and log_attributes['request.headers.user_agent'] not like '${HEALTH_CHECK_AGENT_PREFIX}%' ` +
  `group by function_id, minute order by minute asc, function_id asc limit ${ROWS_LIMIT}`;

/** Numbers come as text where ClickHouse counts in 64 bits. */
const row = z.object({
  function_id: z.string(),
  /** Epoch seconds. */
  minute: z.coerce.number().int(),
  invocations: z.coerce.number().int().min(0),
  errors: z.coerce.number().int().min(0),
  client_errors: z.coerce.number().int().min(0),
  duration_total_ms: z.coerce.number(),
  duration_max_ms: z.coerce.number(),
});
type Row = z.infer<typeof row>;

/** What {@link readFunctionLogs} reads. */
export interface LogRequest {
  /** How far they are known. */
  known: LogState;
  /** The functions' names by their ids in the Management API; others are left out. */
  names: ReadonlyMap<string, string>;
  /** Epoch milliseconds. */
  now: number;
}

/** Reads on from where the last reading ended. A failure is part of the answer: what was read before it is kept. */
export async function readFunctionLogs(
  api: ManagementApi,
  project: ManagedProject,
  { known, names, now }: LogRequest,
): Promise<LogReading> {
  const begin = beginOf(known, now);
  const reading: LogReading = {
    minutes: [],
    readFrom: known.readUntil !== null && begin <= known.readUntil ? known.readFrom : begin,
    readUntil: null,
    notBefore: null,
    error: null,
  };
  let from = begin;
  try {
    for (let page = 0; page < PAGES; page++) {
      const answer = await askLogs(api, project, SQL, { from, until: now });
      if (answer.kind === "limited") return limited(reading, now + answer.retryAfterMs);
      const rows = parseRows(project, answer.rows);
      const { kept, next } = cutPage(rows, now);
      reading.minutes.push(...kept.flatMap((one) => minuteOf(one, names)));
      reading.readUntil = next;
      if (rows.length < ROWS_LIMIT) break;
      from = next;
    }
    return reading;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { ...reading, error: describeError(error).message };
  }
}

/** What a reading is that the rate limit forbids. */
export function limited(reading: LogReading, notBefore: number): LogReading {
  return { ...reading, notBefore, error: "the Management API wants fewer requests" };
}

function beginOf({ readUntil }: LogState, now: number): number {
  const wanted = readUntil === null ? now - FIRST_LOOK_MS : readUntil - OVERLAP_MS;
  // up to the full minute, which is counted whole
  return Math.ceil(Math.max(wanted, now - WINDOW_MS) / MINUTE_MS) * MINUTE_MS;
}

/** A full page may end in the middle of a minute: that one is asked again. */
function cutPage(rows: readonly Row[], until: number): { kept: readonly Row[]; next: number } {
  const last = rows.at(-1)?.minute;
  if (rows.length < ROWS_LIMIT || last === undefined) return { kept: rows, next: until };
  const whole = rows.filter(({ minute }) => minute < last);
  if (whole.length === 0) return { kept: rows, next: last * 1000 + MINUTE_MS };
  return { kept: whole, next: last * 1000 };
}

function minuteOf(one: Row, names: ReadonlyMap<string, string>): InvocationMinute[] {
  const functionName = names.get(one.function_id);
  if (functionName === undefined || one.invocations === 0) return [];
  return [{
    functionName,
    source: "log",
    minute: one.minute * 1000,
    invocations: one.invocations,
    errors: one.errors,
    clientErrors: one.client_errors,
    durationTotalMs: one.duration_total_ms,
    durationMaxMs: one.duration_max_ms,
  }];
}

function parseRows(project: ManagedProject, rows: readonly unknown[]): Row[] {
  const parsed = z.array(row).safeParse(rows);
  if (parsed.success) return parsed.data;
  throw new AppError(
    "management_api",
    `Cannot read the logs of project "${project.name}": the rows are not as asked for`,
  );
}
