/** Annotating a job: which one is meant, and the one UPDATE. */
import { z } from "zod";
import type { JobType } from "../../supabase/functions/_shared/domain/job.ts";
import { closestNames } from "./closest_names.ts";
import { MonitorError } from "./errors.ts";
import type { Hub } from "./hub_client.ts";
import { type Job, readChannels, readJobs } from "./hub_tables.ts";

/** Which job is meant. The name alone will do where only one job has it. */
export interface JobChoice {
  name: string;
  project?: string | undefined;
  /** Database role that pg_cron runs it as. */
  user?: string | undefined;
  type?: JobType | undefined;
}

const written = z.string().trim().transform((value) => value === "" ? null : value).nullable();
const minutes = z.number("must be a number").nullable();

/** What a person may say of a job; `null` and empty text clear it. The hub's constraints decide what is allowed. */
export const annotations = z.strictObject({
  description: written,
  success_criteria: written,
  /** `critical`, `important` or `low`. */
  criticality: written,
  owner: written,
  /** Name of a row of `alert_config`, or a channel. */
  alert_channel: written,
  runbook_url: written,
  grace_minutes: minutes,
  max_runtime_minutes: minutes,
  failure_threshold: z.int32("must be a whole number").nullable(),
  min_rows: z.int("must be a whole number").nullable(),
  /** Whether `"ok": false` in the body of an HTTP answer is a failure. */
  check_body_ok: z.boolean("must be true or false").nullable(),
  success_check_sql: written,
  /** Of edge functions and webhooks: a URL that answers while it is well, or `vault:NAME`, `env:NAME`. */
  health_check_url: written,
  /** `Name: vault:NAME`. */
  health_check_header: written,
  /** `200`, `2xx`, `200, 404`. */
  health_check_status: written,
  health_check_body: written,
  health_check_timeout_ms: z.int32("must be a whole number").nullable(),
  health_check_max_ms: z.int32("must be a whole number").nullable(),
  /** Of edge functions. */
  max_error_percent: z.number("must be a number").nullable(),
  min_invocations: z.int32("must be a whole number").nullable(),
  max_silence_minutes: minutes,
}).partial();
/** The columns to set; those that are absent stay as they are. */
export type Annotations = z.input<typeof annotations>;

/** A job as it is now, and what a person should know. */
export interface AnnotatedJob {
  job: Job;
  warnings: string[];
}

/**
 * Finds the job and writes its annotations.
 *
 * @throws {MonitorError} `not_found` or `ambiguous` with the candidates; `invalid_value` in the words of the
 * constraint; `usage` for nothing to write.
 */
export async function annotateJob(
  hub: Hub,
  choice: JobChoice,
  wanted: Annotations,
): Promise<AnnotatedJob> {
  const values = valuesOf(choice, wanted);
  const { id } = await findJob(hub, choice);
  await hub.rows(
    `annotate "${choice.name}"`,
    z.object({ id: z.string() }),
    (sql) => sql`update public.job_inventory set ${sql(values)} where id = ${id} returning id`,
  );
  const job = (await readJobs(hub, { name: choice.name, which: "all" })).find((one) => one.id === id);
  if (job === undefined) throw new MonitorError("not_found", `Job "${choice.name}" has just been deleted`);
  return { job, warnings: "alert_channel" in values ? await channelWarnings(hub, job) : [] };
}

/** Columns and what to write into them. */
function valuesOf(
  { name }: JobChoice,
  wanted: Annotations,
): Record<string, string | number | boolean | null> {
  const parsed = annotations.safeParse(wanted);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join(".")} ${message}`.trim());
    throw new MonitorError("invalid_value", `Cannot annotate "${name}": ${faults.join("; ")}`);
  }
  const given = Object.entries(parsed.data).flatMap(([column, value]) =>
    value === undefined ? [] : [[column, value] as const]
  );
  if (given.length === 0) {
    throw new MonitorError("usage", `Cannot annotate "${name}": nothing to write was given`, {
      hints: [`There are: ${Object.keys(annotations.shape).join(", ")}`],
    });
  }
  return Object.fromEntries(given);
}

/** A channel that does not exist is no error: alerts then go the usual way. */
async function channelWarnings(hub: Hub, { alert_channel: wanted }: Job): Promise<string[]> {
  if (wanted === null) return [];
  const rows = await readChannels(hub);
  const named = rows.filter((row) => row.name === wanted || row.channel === wanted);
  if (named.some((row) => row.enabled)) return [];
  const names = [
    ...new Set(rows.flatMap(({ name, channel }) => name === null ? [channel] : [name, channel])),
  ];
  const what = named.length > 0 ? "only disabled rows" : "no row";
  return [
    `alert_config has ${what} for "${wanted}", so alerts go the usual way` +
    (names.length === 0 ? "" : `; it knows: ${names.join(", ")}`),
  ];
}

/**
 * The one job that a choice names.
 *
 * @throws {MonitorError} `not_found` or `ambiguous`, with the candidates.
 */
async function findJob(hub: Hub, choice: JobChoice): Promise<Job> {
  const named = await readJobs(hub, { name: choice.name, which: "all" });
  const fitting = named.filter((job) =>
    (choice.project === undefined || job.project_name === choice.project) &&
    (choice.user === undefined || job.job_user === choice.user) &&
    (choice.type === undefined || job.job_type === choice.type)
  );
  const existing = fitting.filter((job) => job.removed_at === null);
  const candidates = existing.length > 0 ? existing : fitting;
  const [job] = candidates;
  if (job === undefined) throw unknownJob(choice, await readJobs(hub, { which: "all" }));
  if (candidates.length > 1) throw ambiguousJob(choice, candidates);
  return job;
}

/** `sync_leads in smoothed`, with what tells it from others of that name. */
export function nameOfJob({ job_name, project_name, job_user, job_type }: Job): string {
  const user = job_user === null ? "" : ` as ${job_user}`;
  return `${job_name} in ${project_name}${job_type === "pg_cron" ? user : ` (${job_type})`}`;
}

function ambiguousJob({ name }: JobChoice, jobs: readonly Job[]): MonitorError {
  const differs = (key: "project_name" | "job_user" | "job_type") =>
    new Set(jobs.map((job) => job[key])).size > 1;
  const options = [
    ...(differs("project_name") ? ["--project"] : []),
    ...(differs("job_type") ? ["--type"] : differs("job_user") ? ["--user"] : []),
  ];
  return new MonitorError("ambiguous", `${jobs.length} jobs are called "${name}"`, {
    candidates: jobs.map(nameOfJob),
    hints: [`Say which one with ${options.join(" and ")}`],
  });
}

function unknownJob(choice: JobChoice, all: readonly Job[]): MonitorError {
  const { name, project, user, type } = choice;
  const where = [
    project === undefined ? "" : ` in project "${project}"`,
    user === undefined ? "" : ` of role "${user}"`,
    type === undefined ? "" : ` of type "${type}"`,
  ].join("");
  const sameName = all.filter((job) => job.job_name === name);
  const inProject = all.filter((job) =>
    job.removed_at === null && (project === undefined || job.project_name === project)
  );
  const close = closestNames(name, inProject.map((job) => job.job_name));
  const meant = sameName.length > 0 ? sameName : inProject.filter((job) => close.includes(job.job_name));
  return new MonitorError("not_found", `No job is called "${name}"${where}`, {
    candidates: meant.map(nameOfJob),
    hints: all.length === 0
      ? ["The inventory is empty: run audit first"]
      : meant.length === 0
      ? ["See them all with jobs"]
      : [],
  });
}
