/** Takes a batch of a log drain: token, bounded body, counts per function and minute. */
import type postgres from "postgres";
import { AppError } from "../_shared/errors.ts";
import { isGzip, readStream, unpack } from "../_shared/http/read_stream.ts";
import { recordDrained } from "../_shared/hub/function_reports.ts";
import { digestOf, mayBeToken, projectOfToken, refused } from "../_shared/hub/report_tokens.ts";
import { countDrained, type DrainedBatch } from "../_shared/rules/drained_events.ts";

/** Bytes of a batch as it is sent. Supabase sends 250 events at most, some 400 kB unpacked. */
const PACKED_LIMIT = 4 * 1024 * 1024;
/** And unpacked: 10,000 events and more. */
const UNPACKED_LIMIT = 20 * 1024 * 1024;

/** What a drain needs of its surroundings. */
export interface DrainDeps {
  hubProjectName: string;
  /** Epoch milliseconds. */
  now: number;
  withHub<T>(use: (sql: postgres.Sql) => Promise<T>): Promise<T>;
}

/** What the sender is told. */
export interface DrainAnswer extends Omit<DrainedBatch, "minutes"> {
  /** The same batch had come before, and counted then. */
  repeated: boolean;
}

/**
 * Counts a batch.
 *
 * @throws {AppError} `unauthorized`, `too_large`, `bad_request`, `hub_unreachable` or `hub_failed`.
 */
export async function receiveDrain(
  request: Request,
  token: string | null,
  deps: DrainDeps,
): Promise<DrainAnswer> {
  if (!mayBeToken(token)) throw refused();
  return await deps.withHub(async (sql) => {
    // who may not report has no body read
    const project = await projectOfToken(sql, "log_drain", token);
    const bytes = await readBatch(request);
    const { minutes, ...counts } = countDrained(parseEvents(bytes), {
      now: deps.now,
      isOwn: (name) => project === deps.hubProjectName && isReceiver(name),
    });
    const isNew = await recordDrained(sql, project, await digestOf(bytes), minutes);
    return { ...counts, repeated: !isNew };
  });
}

/** Functions of the hub whose every call would come back as an event of its own drain. */
function isReceiver(name: string): boolean {
  return name.startsWith("receive-") || name === "record-execution";
}

async function readBatch(request: Request): Promise<Uint8Array> {
  const sent = await readStream(request.body, PACKED_LIMIT);
  if (sent === null) throw tooLarge(`more than ${PACKED_LIMIT} bytes`);
  if (!isGzip(sent)) return sent;
  const unpacked = await unpack(sent, UNPACKED_LIMIT).catch(() => {
    throw badBatch("it is not whole gzip");
  });
  if (unpacked === null) throw tooLarge(`more than ${UNPACKED_LIMIT} bytes when unpacked`);
  return unpacked;
}

function parseEvents(bytes: Uint8Array): unknown[] {
  let events: unknown;
  try {
    events = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw badBatch("it is not JSON");
  }
  if (!Array.isArray(events)) throw badBatch("it is not a JSON array");
  return events;
}

function badBatch(why: string): AppError {
  return new AppError("bad_request", `Cannot read the batch: ${why}`, { faults: [`body: ${why}`] });
}

function tooLarge(why: string): AppError {
  return new AppError("too_large", `Cannot read the batch: it has ${why}`);
}
