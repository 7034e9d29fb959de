/**
 * What Sentry takes: where a DSN leads, exceptions as envelopes, runs of jobs as check-ins.
 *
 * Sources: Sentry's developer documentation ("Envelopes", "Event Payloads", "Check-Ins"), Relay's cron endpoint.
 */
import { cut, oneLine } from "./text.ts";
import { redact, secretParts } from "./redact.ts";

/** Where a DSN leads. `https://<key>@<host>/<project>`, with a path before the project where Sentry has one. */
export interface SentryPlace {
  /** Scheme, host and that path. */
  base: string;
  publicKey: string;
  project: string;
}

/** Reads a DSN; `null` where it is none. */
export function sentryPlace(dsn: string): SentryPlace | null {
  if (!URL.canParse(dsn)) return null;
  const url = new URL(dsn);
  const [, prefix = "", project] = /^(.*)\/(\d+)\/?$/.exec(url.pathname) ?? [];
  if (url.username === "" || project === undefined) return null;
  return { base: url.origin + prefix, publicKey: url.username, project };
}

/** Where check-ins of a monitor go. */
export function cronsUrl({ base, project, publicKey }: SentryPlace, slug: string): string {
  return `${base}/api/${project}/cron/${slug}/${publicKey}/`;
}

/** How long Sentry waits for a check-in, and for its end, in minutes. */
export interface MonitorLimits {
  checkin_margin: number;
  max_runtime?: number;
}

/**
 * What Sentry is told of a schedule. Five fields it reads as pg_cron does; of any other schedule it is told nothing, `{}`.
 *
 * @param zone As in `cron.timezone`.
 */
export function monitorConfig(schedule: string | null, zone: string | null, limits: MonitorLimits): object {
  const value = schedule?.trim() ?? "";
  const timezone = zone === null || zone === "GMT" ? "UTC" : zone;
  if (!/^[\d*,/-]+( +[\d*,/-]+){4}$/.test(value)) return {};
  return { monitor_config: { schedule: { type: "crontab", value }, timezone, ...limits } };
}

/** The most that Sentry takes as the name of a monitor. */
const SLUG_LIMIT = 50;

/** The name of a job's monitor: stable, unique, and still readable. */
export function jobSlug(project: string, job: string, jobId: string): string {
  const end = `-${jobId.slice(0, 8)}`;
  const name = `${project}-${job}`.toLowerCase().replace(/[^a-z0-9_-]+/g, "-").slice(
    0,
    SLUG_LIMIT - end.length,
  );
  return name + end;
}

/** Something that went wrong in a function of ours, as its log has it. */
export interface Failure {
  /** 32 hexadecimal digits. */
  eventId: string;
  at: Date;
  functionName: string;
  /** What the log line is about. */
  event: string;
  /** Our own code of the error. */
  code: string;
  /** Its sentence, or an unforeseen error's stack. */
  text: string;
  /** Facts of the line. */
  extra: Readonly<Record<string, unknown>>;
  serverName: string | null;
  release: string | null;
  environment: string;
}

/** UTF-16 units of an error's text. */
const TEXT_LIMIT = 2_000;
/** Characters of everything else that the line says. */
const EXTRA_LIMIT = 4_000;

/**
 * An envelope with one event: a line of its own head, one of the item's, the event.
 *
 * @param secrets What must not be in it, besides what looks like a secret.
 */
export function failureEnvelope(failure: Failure, secrets: readonly string[]): string {
  // an error may hold a password without the URL that it is of
  const known = secrets.flatMap(secretParts);
  const scrub = (text: string, limit: number) => cut(redact(text, known), limit);
  const { functionName, code, event, serverName, release } = failure;
  const payload = JSON.stringify({
    event_id: failure.eventId,
    timestamp: failure.at.getTime() / 1000,
    platform: "javascript",
    level: "error",
    logger: "supabase-job-monitor",
    transaction: functionName,
    environment: failure.environment,
    ...serverName === null ? {} : { server_name: serverName },
    ...release === null ? {} : { release },
    tags: { function: functionName, event, code },
    extra: { log: scrub(JSON.stringify(failure.extra), EXTRA_LIMIT) },
    exception: { values: [exceptionOf(code, scrub(failure.text, TEXT_LIMIT))] },
  });
  const head = { event_id: failure.eventId, sent_at: failure.at.toISOString() };
  const item = { type: "event", length: new TextEncoder().encode(payload).length };
  return [JSON.stringify(head), JSON.stringify(item), payload].join("\n") + "\n";
}

function exceptionOf(code: string, text: string): object {
  const [first = "", ...rest] = text.split("\n");
  const [, type = "Error", value = first] = /^(?:Uncaught )?([A-Z]\w{0,60}): (.*)$/.exec(first) ?? [];
  // our own errors are a sentence without a stack, and told apart by their code
  if (code !== "internal") return { type: `AppError ${code}`, value: oneLine(text) };
  const frames = rest.flatMap(frameOf).reverse();
  return { type, value, ...frames.length === 0 ? {} : { stacktrace: { frames } } };
}

function frameOf(line: string): object[] {
  const [, name, place = "", row = "", column = ""] =
    /^\s+at (?:(.+?) \()?(.*?):(\d+):(\d+)\)?$/.exec(line) ?? [];
  if (row === "") return [];
  const filename = place.replace(/^.*\/(?=(?:supabase\/)?functions\/)/, "");
  return [{
    function: name?.replace(/^async /, "") ?? "?",
    filename,
    lineno: Number(row),
    colno: Number(column),
    in_app: !/^(?:ext|node|npm):|node_modules/.test(place),
  }];
}

/** The header by which Sentry knows whose event it is. */
export function sentryAuth({ publicKey }: SentryPlace): string {
  return `Sentry sentry_version=7, sentry_client=supabase-job-monitor/1.0, sentry_key=${publicKey}`;
}
