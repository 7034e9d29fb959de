/** The line: config → facts → evaluate → record, for every project side by side. Delivery is the outbox's. */
import type postgres from "postgres";
import type { Clock } from "../_shared/clock.ts";
import type { Config } from "../_shared/config.ts";
import type { HubKnowledge } from "../_shared/domain/hub.ts";
import type { JobStatus } from "../_shared/domain/job.ts";
import type { Observations, ObservedHttp, StatusCounts } from "../_shared/domain/observation.ts";
import type { TriggerInput } from "../_shared/http/trigger.ts";
import { AppError, describeError } from "../_shared/errors.ts";
import { failureFields, type Log } from "../_shared/log.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import { type Duties, readDuties } from "../_shared/hub/duties.ts";
import { readKnowledge } from "../_shared/hub/knowledge.ts";
import { readConfiguredSecrets } from "../_shared/hub/secrets.ts";
import { secretBlanker } from "../_shared/rules/redact.ts";
import { listProjects, nameOf, type ProjectEntry } from "../_shared/hub/projects.ts";
import { type Recorded, recordObservations, untilRecorded } from "../_shared/hub/record.ts";
import { countStatuses } from "../_shared/rules/counts.ts";
import { evaluateProject, evaluateUnreadable, type Evaluation } from "../_shared/rules/evaluate.ts";
import { NOTHING_READ } from "../_shared/rules/http_calls.ts";
import type { JobReport } from "../_shared/rules/judge_job.ts";
import { readCronFacts, type SuccessCheckRequest } from "../_shared/sources/cron_facts.ts";

/** What a check needs of the world. */
export interface CheckDeps {
  sql: postgres.Sql;
  config: Config;
  clock: Clock;
  log: Log;
  /** What the hub itself should do; empty where it cannot be known. */
  duties?: Duties | null;
}

/** The hub's own duties; that they cannot be read stops no check. */
export function ownDuties(sql: postgres.Sql, log: Log): Promise<Duties | null> {
  return readDuties(sql).catch((error) => {
    log.warn("own schedule not read", failureFields(error));
    return null;
  });
}

/** One project in the answer. */
export interface ProjectReport extends StatusCounts {
  project: string;
  status: "ok" | "error";
  /** Why it could not be read or recorded. */
  error?: { code: string; message: string };
  runs_logged: number;
  /** pg_net there; absent: it has none, or could not be read. */
  http?: HttpReport;
  incidents_opened: number;
  incidents_resolved: number;
  /** What is different about its jobs since the last look. */
  changes: ChangeAnswer[];
  details: JobAnswer[];
}

/** Something that is different about a job; values are redacted. */
export interface ChangeAnswer {
  job: string;
  change: string;
  old_value: string | null;
  new_value: string | null;
}

/** What one look saw of a project's pg_net. */
export interface HttpReport {
  /** Requests that wait, with those on their way; `null`: could not be read. */
  queue: number | null;
  /** `null`: may not be seen. */
  worker_up: boolean | null;
  /** Of the last hour, whoever called. Any login role of the project may write them. */
  answers: number | null;
  failed: number | null;
  timed_out: number | null;
  /** 0 to 1; `null`: no answers. */
  failure_rate: number | null;
  /** Whether `install_http_calls.sql` was run there, so that calls are told by job. */
  calls_kept: boolean;
  /** Names that calls were made under and that no job has. */
  strangers: string[];
  /** SQLSTATE of what could not be read. */
  errors: string[];
}

/** One job in the answer. */
export interface JobAnswer {
  id: string;
  job_name: string;
  job_user: string | null;
  schedule: string | null;
  criticality: string | null;
  status: JobStatus;
  verdict: string | null;
  summary: string;
  /** ISO 8601. */
  last_run_at: string | null;
}

/** The answer of a check. */
export interface CheckReport extends StatusCounts {
  checked_at: string;
  dry_run: boolean;
  projects: ProjectReport[];
  errors: number;
  incidents_opened: number;
  incidents_resolved: number;
}

/**
 * Checks every watched project, or the one named.
 *
 * @throws {AppError} `not_found` for an unknown project; `hub_unreachable` or `hub_failed` when nothing can be kept.
 */
export async function runCheck(deps: CheckDeps, input: TriggerInput): Promise<CheckReport> {
  const entries = await listProjects(deps.sql, deps.config, input.project);
  const secrets = await readConfiguredSecrets({ sql: deps.sql, env: deps.config.secret });
  const look = { ...deps, blank: secretBlanker([...deps.config.secrets, ...secrets]) };
  const projects = await Promise.all(entries.map((entry) => checkProject(look, entry, input.dry_run)));
  const sum = (count: (report: ProjectReport) => number) =>
    projects.reduce((total, report) => total + count(report), 0);
  return {
    checked_at: deps.clock().toISOString(),
    dry_run: input.dry_run,
    ...countStatuses(projects.flatMap((report) => report.details)),
    errors: sum((report) => report.status === "error" ? 1 : 0),
    incidents_opened: sum((report) => report.incidents_opened),
    incidents_resolved: sum((report) => report.incidents_resolved),
    projects,
  };
}

/** What each project is looked at with. */
interface LookDeps extends CheckDeps {
  /** Takes secrets of ours out of what a project says. */
  blank: <T>(value: T) => T;
}

async function checkProject(deps: LookDeps, entry: ProjectEntry, dryRun: boolean): Promise<ProjectReport> {
  const name = nameOf(entry);
  try {
    return await untilRecorded(async () => {
      const knowledge = await readKnowledge(deps.sql, name);
      const { evaluation, error } = await evaluate(deps, entry, knowledge, dryRun);
      const recorded = dryRun
        ? NOTHING_RECORDED
        : await recordObservations(deps.sql, evaluation.observations);
      if (error !== null) deps.log.warn("project not read", { project: name, ...error });
      return report(name, error, evaluation, recorded);
    });
  } catch (error) {
    // the hub itself failed for this project: the others go on
    const fault = describeError(error);
    deps.log.error("project not recorded", { project: name, ...failureFields(error) });
    return report(name, fault, { observations: null, jobs: [] }, NOTHING_RECORDED);
  }
}

const NOTHING_RECORDED: Recorded = { logged: 0, incidentsOpened: 0, incidentsResolved: 0 };

interface Outcome {
  evaluation: Evaluation;
  /** Why the project could not be read. */
  error: { code: string; message: string } | null;
}

async function evaluate(
  deps: LookDeps,
  entry: ProjectEntry,
  knowledge: HubKnowledge,
  dryRun: boolean,
): Promise<Outcome> {
  if (entry.kind === "fault") {
    return {
      evaluation: evaluateUnreadable({ name: entry.name, ref: null }, entry.error, knowledge),
      error: entry.error,
    };
  }
  const { project } = entry;
  try {
    const facts = await readCronFacts(
      project,
      {
        cursor: knowledge.runCursor,
        openRunIds: knowledge.openRuns.map((run) => run.runId),
        successChecks: successChecksOf(knowledge),
        // a project that watches the hub may only believe it well while its alerts go out
        heartbeat: !dryRun && (deps.duties?.alerts_silent_since ?? null) === null,
        http: knowledge.http ?? NOTHING_READ,
      },
      { caCert: deps.config.postgresCaCert, connectTimeoutSeconds: 10 },
    );
    const now = deps.clock().getTime();
    return {
      evaluation: evaluateProject(project, deps.blank(facts), knowledge, now, () => crypto.randomUUID()),
      error: null,
    };
  } catch (thrown) {
    if (!(thrown instanceof AppError)) throw thrown;
    const error = describeError(thrown);
    return { evaluation: evaluateUnreadable(project, error, knowledge), error };
  }
}

/** A check is asked after each new success, and again while it does not hold. */
function successChecksOf(knowledge: HubKnowledge): SuccessCheckRequest[] {
  const open = new Set(
    knowledge.incidents.filter(({ code }) => code === "criteria_not_met").map(({ subjectId }) => subjectId),
  );
  return knowledge.jobs.flatMap(({ id, jobId, successCheckSql, removedAt }) => {
    if (jobId === null || successCheckSql === null || removedAt !== null) return [];
    const unmet = knowledge.states.get(id)?.verdict === "criteria_not_met" || open.has(id);
    return [{ jobId, sql: successCheckSql, when: unmet ? "always" : "new success" }];
  });
}

function report(
  project: string,
  error: { code: string; message: string } | null,
  { observations, jobs: details }: { observations: Observations | null; jobs: JobReport[] },
  recorded: Recorded,
): ProjectReport {
  const { logged, incidentsOpened, incidentsResolved } = recorded;
  const http = observations?.project?.status === "ok" ? observations.project.http : undefined;
  return {
    project,
    ...(error === null ? { status: "ok" } : { status: "error", error }),
    ...countStatuses(details),
    runs_logged: logged,
    incidents_opened: incidentsOpened,
    incidents_resolved: incidentsResolved,
    ...(http === undefined ? {} : { http: httpReport(http) }),
    changes: (observations?.changes ?? []).map(({ jobName, change, oldValue, newValue }) => ({
      job: jobName,
      change,
      old_value: oldValue,
      new_value: newValue,
    })),
    details: details.map(({ jobName, jobUser, lastRunAt, ...job }) => ({
      ...job,
      job_name: jobName,
      job_user: jobUser,
      last_run_at: lastRunAt,
    })),
  };
}

function httpReport({ queue, lastHour, callsKept, strangers, errors }: ObservedHttp): HttpReport {
  const { answers, failed, timedOut } = lastHour ?? { answers: null, failed: null, timedOut: null };
  return {
    queue: queue?.length ?? null,
    worker_up: queue?.workerUp ?? null,
    answers,
    failed,
    timed_out: timedOut,
    failure_rate: answers === null || answers === 0
      ? null
      : Math.round(1000 * ((failed ?? 0) + (timedOut ?? 0)) / answers) / 1000,
    calls_kept: callsKept,
    strangers,
    errors,
  };
}

/** How a check is noted in `check_runs`: only one that saw every project is complete. */
export function checkEnding(report: CheckReport, input: TriggerInput): CheckRunEnd {
  const { jobs, healthy, failed, missed, unknown, paused, incidents_opened, incidents_resolved } = report;
  const faults = report.projects.flatMap((project) => project.error?.message ?? []);
  const allFailed = faults.length === report.projects.length;
  return {
    status: allFailed ? "failed" : faults.length > 0 || input.project !== undefined ? "partial" : "complete",
    counts: { jobs, healthy, failed, missed, unknown, paused, incidents_opened, incidents_resolved },
    error: faults.length === 0 ? null : faults.join("; "),
  };
}
