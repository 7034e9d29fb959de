/** What the status of everything means: for people and programs as JSON, for Prometheus as text. */
import type { JobStatus } from "../domain/job.ts";
import type { ShownJob, StatusView } from "../domain/status.ts";

/** Three looks of the usual 15 minutes: a project that nobody has looked at for longer is not known to be well. */
export const STALE_MS = 45 * 60_000;

/** The status of a job as far as it can be known now: what a look said long ago is nobody's word today. */
function statusNow(job: ShownJob, view: StatusView): JobStatus {
  const readAt = view.projects.find(({ name }) => name === job.project)?.readAt ?? null;
  const stale = job.type === "pg_cron" && (readAt === null || view.at - readAt > STALE_MS);
  return stale && job.status !== "paused" ? "unknown" : job.status;
}

/** The answer of `status` as JSON. Times are ISO 8601, ages and durations seconds. */
export interface StatusReport {
  at: string;
  /** Every project read, every job healthy or paused, nothing of ours late. */
  healthy: boolean;
  /** Why it is not, a sentence each. */
  problems: string[];
  projects: { name: string; status: string; error: string | null; read_age: number | null }[];
  jobs: {
    id: string;
    project: string;
    type: string;
    name: string;
    user: string | null;
    criticality: string | null;
    status: JobStatus;
    verdict: string | null;
    last_run_at: string | null;
    last_run_age: number | null;
    last_success_at: string | null;
    last_duration: number | null;
  }[];
  incidents: { project: string; severity: string; count: number; acknowledged: number }[];
  outbox: { due: number; held: number; unroutable: number; oldest_due_age: number | null };
  dead_channels: number;
  functions: { name: string; status: string | null; age: number | null; complete_age: number | null }[];
}

/** Milliseconds after which each of our functions is late; those that run seldom are not judged here. */
const LATE_MS: Readonly<Record<string, number>> = { "check-job-health": STALE_MS, "send-alert": 10 * 60_000 };

/** Reports the status. */
export function reportStatus(view: StatusView): StatusReport {
  const problems = problemsOf(view);
  return {
    at: iso(view.at) ?? "",
    healthy: problems.length === 0,
    problems,
    projects: view.projects.map(({ name, status, errorCode, readAt }) => ({
      name,
      status,
      error: status === "error" ? errorCode : null,
      read_age: age(view, readAt),
    })),
    jobs: view.jobs.map((job) => ({
      ...{ id: job.id, project: job.project, type: job.type, name: job.name, user: job.user },
      criticality: job.criticality,
      status: statusNow(job, view),
      verdict: job.verdict,
      last_run_at: iso(job.lastRunAt),
      last_run_age: age(view, job.lastRunAt),
      last_success_at: iso(job.lastSuccessAt),
      last_duration: durationOf(job),
    })),
    incidents: view.incidents,
    outbox: {
      due: view.outbox.due,
      held: view.outbox.held,
      unroutable: view.outbox.unroutable,
      oldest_due_age: age(view, view.outbox.oldestDueAt),
    },
    dead_channels: view.deadChannels,
    functions: view.functions.map(({ name, status, beganAt, completeAt }) => ({
      name,
      status,
      age: age(view, beganAt),
      complete_age: age(view, completeAt),
    })),
  };
}

function problemsOf(view: StatusView): string[] {
  const problems: string[] = [];
  const count = (status: JobStatus) => view.jobs.filter((job) => statusNow(job, view) === status).length;
  for (const status of ["failed", "missed", "unknown"] as const) {
    const jobs = count(status);
    if (jobs > 0) problems.push(`${jobs} ${jobs === 1 ? "job is" : "jobs are"} ${status}`);
  }
  for (const { name, status, errorCode } of view.projects) {
    if (status === "error") {
      problems.push(`project ${name} cannot be read: ${errorCode ?? "no reason known"}`);
    }
  }
  for (const { name, completeAt } of view.functions) {
    const limit = LATE_MS[name];
    if (limit === undefined || (completeAt !== null && view.at - completeAt <= limit)) continue;
    problems.push(`${name} has not been complete for ${Math.round(limit / 60_000)} minutes`);
  }
  const { outbox: { unroutable }, deadChannels } = view;
  if (unroutable > 0) {
    problems.push(`${unroutable} ${unroutable === 1 ? "alert has" : "alerts have"} nowhere to go`);
  }
  if (deadChannels > 0) {
    problems.push(`${deadChannels} ${deadChannels === 1 ? "channel is" : "channels are"} dead`);
  }
  return problems;
}

function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

function age(view: StatusView, at: number | null): number | null {
  return at === null ? null : Math.max(0, (view.at - at) / 1000);
}

function durationOf({ lastRun }: ShownJob): number | null {
  if (typeof lastRun?.startedAt !== "string" || lastRun.endedAt === null) return null;
  return Math.max(0, (Date.parse(lastRun.endedAt) - Date.parse(lastRun.startedAt)) / 1000);
}

interface Sample {
  labels: Readonly<Record<string, string | null>>;
  value: number | null;
}

/**
 * The status in Prometheus' text exposition format 0.0.4. A job that nobody can judge, and one that is paused, has no
 * `job_monitor_job_up`: an absent value is not a good one.
 */
export function prometheusText(view: StatusView): string {
  const jobs = (value: (job: ShownJob) => number | null): Sample[] =>
    view.jobs.map((job) => ({ labels: labelsOf(job), value: value(job) }));
  return [
    family(
      "job_up",
      "1 where the job is healthy, 0 where it failed or was missed.",
      jobs((job) => up(job, view)),
    ),
    family(
      "job_status",
      "1 for the status that the job has.",
      view.jobs.map((job) => ({ labels: { ...labelsOf(job), status: statusNow(job, view) }, value: 1 })),
    ),
    family("job_last_run_age_seconds", "Since the last run began.", jobs((job) => age(view, job.lastRunAt))),
    family(
      "job_last_success_age_seconds",
      "Since the last success.",
      jobs((job) => age(view, job.lastSuccessAt)),
    ),
    family("job_last_run_duration_seconds", "How long the last run took.", jobs(durationOf)),
    family(
      "project_up",
      "1 where the project could be read at the last look.",
      view.projects.map(({ name, status }) => ({
        labels: { project: name },
        value: status === "unknown" ? null : status === "ok" ? 1 : 0,
      })),
    ),
    family(
      "project_read_age_seconds",
      "Since the project was last read.",
      view.projects.map(({ name, readAt }) => ({ labels: { project: name }, value: age(view, readAt) })),
    ),
    family(
      "incidents_open",
      "Open incidents.",
      view.incidents.map(({ project, severity, count }) => ({ labels: { project, severity }, value: count })),
    ),
    family("outbox_deliveries", "Messages that are owed.", [
      { labels: { state: "due" }, value: view.outbox.due },
      { labels: { state: "held" }, value: view.outbox.held },
      { labels: { state: "unroutable" }, value: view.outbox.unroutable },
    ]),
    family(
      "outbox_oldest_due_age_seconds",
      "Since the oldest message that is due was owed; 0 where none is.",
      [
        { labels: {}, value: age(view, view.outbox.oldestDueAt) ?? 0 },
      ],
    ),
    family("channels_dead", "Rows of alert_config whose vendor refuses for good.", [
      { labels: {}, value: view.deadChannels },
    ]),
    family(
      "function_complete_age_seconds",
      "Since a function of the monitor was last complete.",
      view.functions.map(({ name, completeAt }) => ({
        labels: { function: name },
        value: age(view, completeAt),
      })),
    ),
  ].join("");
}

function up(job: ShownJob, view: StatusView): number | null {
  const status = statusNow(job, view);
  if (status === "unknown" || status === "paused") return null;
  return status === "healthy" ? 1 : 0;
}

function labelsOf({ project, type, name, user, criticality }: ShownJob): Sample["labels"] {
  return { project, job_type: type, job_name: name, job_user: user, criticality };
}

function family(name: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.flatMap(({ labels, value }) =>
    value === null ? [] : [`job_monitor_${name}${labelText(labels)} ${value}\n`]
  );
  return `# HELP job_monitor_${name} ${help}\n# TYPE job_monitor_${name} gauge\n${lines.join("")}`;
}

function labelText(labels: Sample["labels"]): string {
  const pairs = Object.entries(labels).flatMap(([name, value]) =>
    value === null ? [] : [`${name}="${escapeLabel(value)}"`]
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.toWellFormed().replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
