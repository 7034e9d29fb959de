/** Silences: checked as they were typed, written by the hub's own functions, listed with the times to come. */
import { z } from "zod";
import type { Silence } from "../../supabase/functions/_shared/domain/policy.ts";
import { isTimeZone } from "../../supabase/functions/_shared/rules/schedule.ts";
import {
  matchesGlob,
  silencedUntil,
  silencePeriods,
  silenceScheduleFault,
} from "../../supabase/functions/_shared/rules/silences.ts";
import { closestNames } from "./closest_names.ts";
import { DURATION_FAULT, INSTANT_FAULT, parseDuration, parseInstant } from "./durations.ts";
import { MonitorError } from "./errors.ts";
import { findByPrefix } from "./find_by_prefix.ts";
import type { Hub } from "./hub_client.ts";
import { type Incident, readJobs, readProjects } from "./hub_tables.ts";
import { whoActs } from "./who.ts";

/** Times to come that a listed silence tells. */
const NEXT_TIMES = 3;
const LONGEST_MINUTES = 366 * 1_440;
const LONGEST_EACH_MINUTES = 44_640;

/** A silence as a person asks for it. */
export interface SilenceRequest {
  /** Name of the project; `*`: every project. */
  project: string;
  /** Jobs by name, `*` any text, `?` one character, `\` before either for itself. Default `*`: all, and the project. */
  jobs?: string | undefined;
  /** How long from now, such as `2h`. Either this or `until`, unless there is a schedule. */
  for?: string | undefined;
  /** Until when, ISO 8601. */
  until?: string | undefined;
  /** Again and again: five cron fields. Needs `duration`; `until` ends it. */
  schedule?: string | undefined;
  /** How long each time, such as `90m`. */
  duration?: string | undefined;
  /** Time zone of the schedule. Default `UTC`. */
  timezone?: string | undefined;
  /** Why. */
  reason: string;
  /** Who. Default: the operating system's user. */
  by?: string | undefined;
}

/** A {@link SilenceRequest} that makes sense. */
export interface CheckedSilence {
  /** `null`: every project. */
  project: string | null;
  jobs: string;
  /** Epoch milliseconds. */
  until: number | null;
  repeat: { schedule: string; durationMinutes: number; timeZone: string } | null;
  by: string;
  reason: string;
}

/** As it was typed: anything may be missing. */
type Request = { readonly [key in keyof SilenceRequest]?: string | undefined };

/**
 * Checks a request without asking the hub.
 *
 * @param options.named how a fault names what it is about: `--for` or `for`.
 * @throws {MonitorError} `usage` naming every fault.
 */
export function checkSilence(
  request: Request,
  now: number,
  { named = (key: string) => key }: { named?: (key: string) => string } = {},
): CheckedSilence {
  const faults: string[] = [];
  const fault = (key: keyof SilenceRequest, what: string) => void faults.push(`${named(key)} ${what}`);
  const { project = "", jobs = "*", reason = "", timezone = "UTC", schedule } = request;
  if (project !== "*" && !/^[a-z][a-z0-9_-]{0,62}$/.test(project)) {
    fault("project", "must be a project's name (lower case letters, digits, _ or -), or * for all");
  }
  if (jobs.trim() === "") fault("jobs", "must be a name or a pattern, or * for all");
  if (reason.trim() === "") fault("reason", "must say why");
  if (!isTimeZone(timezone)) fault("timezone", "must be a time zone such as Europe/Berlin");
  const until = endOf(request, now, { fault, named });
  const repeat = schedule === undefined ? null : {
    schedule,
    durationMinutes: durationOf(request, fault),
    timeZone: timezone,
  };
  if (schedule !== undefined && isTimeZone(timezone)) {
    const wrong = silenceScheduleFault(schedule, timezone, now);
    if (wrong !== null) fault("schedule", wrong);
  }
  if (schedule === undefined && request.duration !== undefined) {
    fault("duration", `goes with ${named("schedule")}; for once it is ${named("for")}`);
  }
  if (schedule === undefined && request.timezone !== undefined) {
    fault("timezone", `goes with ${named("schedule")}`);
  }
  if (faults.length > 0) throw new MonitorError("usage", `Cannot silence: ${faults.join("; ")}`);
  return {
    project: project === "*" ? null : project,
    jobs,
    until,
    repeat,
    by: whoActs(request.by),
    reason: reason.trim(),
  };
}

type Fault = (key: keyof SilenceRequest, what: string) => void;

function endOf(
  request: Request,
  now: number,
  { fault, named }: { fault: Fault; named: (key: string) => string },
): number | null {
  const { for: length, until, schedule } = request;
  if (schedule !== undefined && length !== undefined) {
    fault("for", `does not go with ${named("schedule")}: ${named("duration")} says how long each time`);
  } else if (length !== undefined && until !== undefined) fault("for", `does not go with ${named("until")}`);
  else if (length === undefined && until === undefined && schedule === undefined) {
    const others = `${named("until")} when, or by which ${named("schedule")}`;
    fault("for", `must say how long, such as 2h; or else ${others}`);
  }
  const minutes = length === undefined ? null : parseDuration(length);
  if (length !== undefined && (minutes === null || minutes > LONGEST_MINUTES)) {
    fault("for", `${DURATION_FAULT}, at most 366d`);
  }
  const instant = until === undefined ? null : parseInstant(until);
  if (until !== undefined && instant === null) fault("until", INSTANT_FAULT);
  if (instant !== null && instant <= now) fault("until", "must be in the future");
  return minutes === null ? instant : now + minutes * 60_000;
}

function durationOf({ duration }: Request, fault: Fault): number {
  if (duration === undefined) {
    fault("duration", "must say how long each time, such as 2h");
    return 0;
  }
  const minutes = parseDuration(duration);
  if (minutes === null || minutes > LONGEST_EACH_MINUTES) fault("duration", `${DURATION_FAULT}, at most 31d`);
  return minutes ?? 0;
}

const instant = z.date().transform((date) => date.toISOString());
const silenceRow = z.object({
  id: z.string(),
  /** `null`: every project. */
  project_name: z.string().nullable(),
  job_pattern: z.string(),
  starts_at: instant,
  /** `null`: until somebody ends it. */
  ends_at: instant.nullable(),
  /** Cron, five fields; `null`: once. */
  schedule: z.string().nullable(),
  /** How long each time. */
  duration_minutes: z.number().nullable(),
  time_zone: z.string(),
  created_by: z.string(),
  reason: z.string(),
  created_at: instant,
  /** Who ended it before its time. */
  ended_by: z.string().nullable(),
});
/** With the hub's clock, which alone decides; epoch milliseconds. */
const readRow = silenceRow.extend({ hub_now: z.number() });

/** A silence, and when it holds. */
export interface ListedSilence extends z.infer<typeof silenceRow> {
  /** `broken`: its schedule cannot be read, so it never holds. */
  state: "holds" | "waits" | "ended" | "broken";
  /** Until when it holds, ISO 8601; `null`: it does not hold now. */
  holds_until: string | null;
  /** Its next times, the present one included. */
  next: { from: string; until: string | null }[];
}

/** Which silences. */
export interface SilenceFilter {
  /** Only those that concern this project. */
  project?: string | undefined;
  /** Default `current`: those that hold or will; `all` adds those that are over. */
  which?: "current" | "all";
}

/** Silences, those that end first in front. */
export async function readSilences(
  hub: Hub,
  { project, which = "current" }: SilenceFilter = {},
): Promise<ListedSilence[]> {
  const rows = await hub.rows("read the silences", readRow, (sql) =>
    sql`
      select id, project_name, job_pattern, starts_at, ends_at, schedule, duration_minutes, time_zone, created_by, reason,
             created_at, ended_by, (extract(epoch from now()) * 1000)::float8 as hub_now
      from public.silences
      where (${which === "all"} or ends_at is null or ends_at > now())
        and (${project ?? null}::text is null or project_name is null or project_name = ${project ?? null})
      order by ends_at nulls last, created_at, id`);
  return rows.map(({ hub_now, ...row }) => listed(row, hub_now));
}

function listed(row: z.infer<typeof silenceRow>, now: number): ListedSilence {
  const silence = silenceOf(row);
  try {
    const until = silencedUntil(silence, now);
    const next = silencePeriods(silence, now, NEXT_TIMES).map(({ from, until }) => ({
      from: new Date(from).toISOString(),
      until: until === null ? null : new Date(until).toISOString(),
    }));
    const state = until !== null ? "holds" : next.length > 0 ? "waits" : "ended";
    return { ...row, state, holds_until: until === null ? null : new Date(until).toISOString(), next };
  } catch {
    return { ...row, state: "broken", holds_until: null, next: [] };
  }
}

/** As the alert policy sees it. */
function silenceOf(row: z.infer<typeof silenceRow>): Silence {
  return {
    id: row.id,
    projectName: row.project_name,
    jobPattern: row.job_pattern,
    startsAt: Date.parse(row.starts_at),
    endsAt: row.ends_at === null ? null : Date.parse(row.ends_at),
    schedule: row.schedule,
    durationMinutes: row.duration_minutes,
    timeZone: row.time_zone,
    createdBy: row.created_by,
    reason: row.reason,
  };
}

/** The silence that keeps an incident from being told, the one that ends last; `null`: none does. */
export function silenceOver(
  incident: Pick<Incident, "project_name" | "subject_kind" | "job_name">,
  silences: readonly ListedSilence[],
): ListedSilence | null {
  if (["channel", "hub"].includes(incident.subject_kind)) return null;
  const covering = silences.filter(({ holds_until, project_name, job_pattern }) =>
    holds_until !== null && (project_name === null || project_name === incident.project_name) &&
    (incident.job_name === null ? job_pattern === "*" : matchesGlob(job_pattern, incident.job_name))
  );
  return covering.toSorted((a, b) => (b.holds_until ?? "").localeCompare(a.holds_until ?? ""))[0] ?? null;
}

/** A silence that was written, and what it silences at present. */
export interface MadeSilence {
  silence: ListedSilence;
  /** The jobs that fit now, `project/job`. */
  jobs: string[];
  warnings: string[];
}

const idRow = z.object({ id: z.string() });

/**
 * Writes a silence.
 *
 * @throws {MonitorError} `not_found` for an unknown project, with `candidates`; `invalid_value` in the words of a
 * constraint.
 */
export async function writeSilence(hub: Hub, checked: CheckedSilence): Promise<MadeSilence> {
  const { project, jobs, until, repeat, by, reason } = checked;
  await expectProject(hub, project);
  const fitting = (await readJobs(hub, { project: project ?? undefined }))
    .filter(({ job_name }) => matchesGlob(jobs, job_name))
    .map(({ project_name, job_name }) => `${project_name}/${job_name}`);
  const end = until === null ? null : new Date(until).toISOString();
  const [made] = await hub.rows(
    "silence",
    idRow,
    (sql) =>
      repeat === null
        ? sql`select monitoring.silence(${project}, ${jobs}, ${end}::text::timestamptz, ${by}, ${reason}) as id`
        : sql`
        select monitoring.silence_on_schedule(${project}, ${jobs}, ${repeat.schedule}, ${repeat.durationMinutes},
          ${by}, ${reason}, ${repeat.timeZone}, ${end}::text::timestamptz) as id`,
  );
  const silence = (await readSilences(hub)).find(({ id }) => id === made?.id);
  if (silence === undefined) throw new MonitorError("not_found", "The silence has just been deleted");
  const warnings = fitting.length > 0 || jobs === "*" ? [] : [
    `No job is called "${jobs}"${
      project === null ? "" : ` in project "${project}"`
    } now; the silence is kept for one that comes`,
  ];
  return { silence, jobs: [...new Set(fitting)], warnings };
}

async function expectProject(hub: Hub, project: string | null): Promise<void> {
  if (project === null) return;
  const known = (await readProjects(hub)).map(({ name }) => name);
  if (known.includes(project)) return;
  throw new MonitorError("not_found", `The hub knows no project "${project}"`, {
    candidates: closestNames(project, known),
    hints: [`It knows: ${known.join(", ")}; * means all`],
  });
}

/** A silence that was ended, or had ended before. */
export interface EndedSilence {
  silence: ListedSilence;
  /** `false`: it was over already. */
  changed: boolean;
}

/**
 * Ends a silence now.
 *
 * @param id The whole id, or its beginning where that is unique.
 * @throws {MonitorError} `not_found` or `ambiguous`.
 */
export async function endSilence(hub: Hub, id: string, by: string): Promise<EndedSilence> {
  const all = await readSilences(hub, { which: "all" });
  const found = findByPrefix(id, all, {
    kind: "silence",
    preferred: ({ state }) => state !== "ended",
    describe: ({ id, project_name, job_pattern, reason }) =>
      `${id} ${job_pattern} in ${project_name ?? "every project"}: ${reason}`,
    list: "silences",
  });
  const [ended] = await hub.rows(
    `end silence "${found.id}"`,
    z.object({ changed: z.boolean() }),
    (sql) => sql`select monitoring.end_silence(${found.id}::text::uuid, ${by}) as changed`,
  );
  const silence = (await readSilences(hub, { which: "all" })).find((one) => one.id === found.id);
  return { silence: silence ?? found, changed: ended?.changed ?? false };
}
