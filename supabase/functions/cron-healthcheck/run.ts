/** The line for heartbeats: what was heard → evaluate → record, project by project. Alerts are the outbox's. */
import type postgres from "postgres";
import type { Config } from "../_shared/config.ts";
import type { JobStatus } from "../_shared/domain/job.ts";
import type { StatusCounts } from "../_shared/domain/observation.ts";
import { AppError, describeError } from "../_shared/errors.ts";
import type { TriggerInput } from "../_shared/http/trigger.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import { heartbeatProjects, readHeartbeats } from "../_shared/hub/heartbeats.ts";
import { readKnowledge } from "../_shared/hub/knowledge.ts";
import { type Recorded, recordObservations, untilRecorded } from "../_shared/hub/record.ts";
import { failureFields, type Log } from "../_shared/log.ts";
import { countStatuses } from "../_shared/rules/counts.ts";
import { evaluateHeartbeats, judgedPings } from "../_shared/rules/evaluate_heartbeats.ts";

/** What a healthcheck needs of the world. */
export interface HealthcheckDeps {
  sql: postgres.Sql;
  config: Pick<Config, "hubProjectName">;
  log: Log;
}

/** One heartbeat in the answer. */
export interface HeartbeatAnswer {
  job_name: string;
  job_type: string;
  status: JobStatus;
  verdict: string | null;
  summary: string;
  /** ISO 8601. */
  last_run_at: string | null;
}

/** The heartbeats of one project in the answer. */
export interface ProjectHeartbeats {
  project: string;
  status: "ok" | "error";
  /** Why they could not be judged or recorded. */
  error?: { code: string; message: string };
  runs_logged: number;
  incidents_opened: number;
  incidents_resolved: number;
  details: HeartbeatAnswer[];
}

/** The answer of a healthcheck; `jobs` counts heartbeats. */
export interface HealthcheckReport extends StatusCounts {
  dry_run: boolean;
  projects: ProjectHeartbeats[];
  errors: number;
  incidents_opened: number;
  incidents_resolved: number;
}

/**
 * Judges the heartbeats of every project, or of the one named.
 *
 * @throws {AppError} `not_found` for a project without heartbeats; `hub_unreachable` or `hub_failed` when nothing can
 *   be read.
 */
export async function runHealthcheck(deps: HealthcheckDeps, input: TriggerInput): Promise<HealthcheckReport> {
  const hub = deps.config.hubProjectName;
  const all = await heartbeatProjects(deps.sql, { hub, adopt: !input.dry_run });
  if (input.project !== undefined && !all.includes(input.project)) {
    const known = all.length === 0 ? "there are none at all" : `these do: ${all.join(", ")}`;
    throw new AppError("not_found", `Project "${input.project}" has no heartbeats; ${known}`);
  }
  const wanted = all.filter((name) => input.project === undefined || name === input.project);
  const projects = await Promise.all(wanted.map((name) => checkProject(deps, name, input)));
  const sum = (count: (project: ProjectHeartbeats) => number) =>
    projects.reduce((total, project) => total + count(project), 0);
  return {
    dry_run: input.dry_run,
    ...countStatuses(projects.flatMap(({ details }) => details)),
    errors: sum(({ status }) => status === "error" ? 1 : 0),
    incidents_opened: sum((project) => project.incidents_opened),
    incidents_resolved: sum((project) => project.incidents_resolved),
    projects,
  };
}

const NOTHING_RECORDED: Recorded = { logged: 0, incidentsOpened: 0, incidentsResolved: 0 };

async function checkProject(
  deps: HealthcheckDeps,
  name: string,
  { dry_run }: TriggerInput,
): Promise<ProjectHeartbeats> {
  try {
    return await untilRecorded(async () => {
      const knowledge = await readKnowledge(deps.sql, name);
      const facts = await readHeartbeats(deps.sql, name, deps.config.hubProjectName, judgedPings(knowledge));
      const { observations, jobs } = evaluateHeartbeats(facts, knowledge, () => crypto.randomUUID());
      const recorded = dry_run ? NOTHING_RECORDED : await recordObservations(deps.sql, observations);
      return {
        project: name,
        status: "ok" as const,
        runs_logged: recorded.logged,
        incidents_opened: recorded.incidentsOpened,
        incidents_resolved: recorded.incidentsResolved,
        details: jobs.map(({ jobName, jobType, status, verdict, summary, lastRunAt }) => ({
          ...{ job_name: jobName, job_type: jobType, status, verdict, summary, last_run_at: lastRunAt },
        })),
      };
    });
  } catch (error) {
    deps.log.error("heartbeats not recorded", { project: name, ...failureFields(error) });
    const nothing = { runs_logged: 0, incidents_opened: 0, incidents_resolved: 0, details: [] };
    return { project: name, status: "error", error: describeError(error), ...nothing };
  }
}

/** How a healthcheck is noted in `check_runs`. */
export function healthcheckEnding(report: HealthcheckReport, input: TriggerInput): CheckRunEnd {
  const { jobs, healthy, failed, missed, unknown, paused, incidents_opened, incidents_resolved } = report;
  const faults = report.projects.flatMap(({ error }) => error?.message ?? []);
  const allFailed = faults.length > 0 && faults.length === report.projects.length;
  return {
    status: allFailed ? "failed" : faults.length > 0 || input.project !== undefined ? "partial" : "complete",
    counts: { jobs, healthy, failed, missed, unknown, paused, incidents_opened, incidents_resolved },
    error: faults.length === 0 ? null : faults.join("; "),
  };
}
