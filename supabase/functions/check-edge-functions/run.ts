/** The line for edge functions: config → facts (list, logs, health checks) → evaluate → record, projects side by side. */
import type postgres from "postgres";
import type { Clock } from "../_shared/clock.ts";
import type { Config } from "../_shared/config.ts";
import type {
  DeployedFunction,
  EdgeFacts,
  EdgeKnowledge,
  LogReading,
} from "../_shared/domain/edge_function.ts";
import type { HubKnowledge } from "../_shared/domain/hub.ts";
import type { JobStatus, JobType } from "../_shared/domain/job.ts";
import type { StatusCounts } from "../_shared/domain/observation.ts";
import { AppError, describeError } from "../_shared/errors.ts";
import type { TriggerInput } from "../_shared/http/trigger.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import { readEdgeKnowledge } from "../_shared/hub/edge_knowledge.ts";
import { recordEdge, tidyReports } from "../_shared/hub/edge_record.ts";
import { readKnowledge } from "../_shared/hub/knowledge.ts";
import { listProjects, nameOf, type ProjectEntry } from "../_shared/hub/projects.ts";
import { readConfiguredSecrets } from "../_shared/hub/secrets.ts";
import { type Recorded, untilRecorded } from "../_shared/hub/record.ts";
import { failureFields, type Log } from "../_shared/log.ts";
import { countStatuses } from "../_shared/rules/counts.ts";
import { evaluateEdge } from "../_shared/rules/evaluate_edge.ts";
import { secretBlanker } from "../_shared/rules/redact.ts";
import type { FunctionReport } from "../_shared/rules/judge_function.ts";
import { limited, readFunctionLogs } from "../_shared/sources/function_logs.ts";
import {
  listEdgeFunctions,
  type ManagedProject,
  type ManagementApi,
} from "../_shared/sources/management_api.ts";
import { askAll } from "./ask_health.ts";

/** What a check needs of the world. */
export interface EdgeCheckDeps {
  sql: postgres.Sql;
  config: Config;
  clock: Clock;
  log: Log;
}

/** One function or webhook in the answer. */
export interface FunctionAnswer {
  id: string;
  job_name: string;
  job_type: JobType;
  criticality: string | null;
  status: JobStatus;
  verdict: string | null;
  summary: string;
  /** ISO 8601. */
  last_run_at: string | null;
}

/** One project in the answer. */
export interface ProjectEdgeReport extends StatusCounts {
  project: string;
  status: "ok" | "error";
  /** Everything that could not be read; what could be is judged all the same. */
  errors: { code: string; message: string }[];
  changes: { job: string; change: string }[];
  incidents_opened: number;
  incidents_resolved: number;
  details: FunctionAnswer[];
}

/** The answer of a check. */
export interface EdgeCheckReport extends StatusCounts {
  checked_at: string;
  dry_run: boolean;
  errors: number;
  incidents_opened: number;
  incidents_resolved: number;
  projects: ProjectEdgeReport[];
}

/** Health checks begin no later than this after the check: the runtime gives 150 s, and recording wants some of it. */
const HEALTH_BUDGET_MS = 90_000;

/** One token is one caller: what a project was refused, the others of the same check do not ask. */
interface Gate {
  notBefore: number;
}

/**
 * Checks the edge functions and webhooks of every watched project, or of the one named.
 *
 * @throws {AppError} `not_found` for an unknown project; `hub_unreachable` or `hub_failed` when nothing can be kept.
 */
export async function runEdgeCheck(deps: EdgeCheckDeps, input: TriggerInput): Promise<EdgeCheckReport> {
  const entries = await listProjects(deps.sql, deps.config, input.project);
  if (!input.dry_run) await tidyReports(deps.sql);
  const gate: Gate = { notBefore: 0 };
  const secrets = await readConfiguredSecrets({ sql: deps.sql, env: deps.config.secret });
  const look = { ...deps, blank: secretBlanker([...deps.config.secrets, ...secrets]) };
  const projects = await Promise.all(entries.map((entry) => checkProject(look, gate, entry, input.dry_run)));
  const sum = (count: (report: ProjectEdgeReport) => number) =>
    projects.reduce((total, report) => total + count(report), 0);
  return {
    checked_at: deps.clock().toISOString(),
    dry_run: input.dry_run,
    ...countStatuses(projects.flatMap((report) => report.details)),
    errors: sum((report) => report.errors.length),
    incidents_opened: sum((report) => report.incidents_opened),
    incidents_resolved: sum((report) => report.incidents_resolved),
    projects,
  };
}

/** How a check is noted in `check_runs`. */
export function edgeCheckEnding(report: EdgeCheckReport, input: TriggerInput): CheckRunEnd {
  const { jobs, healthy, failed, missed, unknown, incidents_opened, incidents_resolved } = report;
  const faults = report.projects.flatMap((project) => project.errors.map(({ message }) => message));
  const allFailed = report.projects.every((project) => project.status === "error");
  return {
    status: allFailed ? "failed" : faults.length > 0 || input.project !== undefined ? "partial" : "complete",
    counts: { functions: jobs, healthy, failed, missed, unknown, incidents_opened, incidents_resolved },
    error: faults.length === 0 ? null : faults.join("; "),
  };
}

/** What each project is looked at with. */
interface LookDeps extends EdgeCheckDeps {
  /** Takes secrets of ours out of what a project says. */
  blank: <T>(value: T) => T;
}

async function checkProject(
  deps: LookDeps,
  gate: Gate,
  entry: ProjectEntry,
  dryRun: boolean,
): Promise<ProjectEdgeReport> {
  const name = nameOf(entry);
  // the database of a project may be out of reach and its functions well
  const project = entry.kind === "project" ? entry.project : { name, ref: null };
  try {
    const facts = deps.blank(await readFacts(deps, gate, project));
    for (const error of facts.errors) deps.log.warn("edge functions not read", { project: name, ...error });
    return await untilRecorded(() => judge(deps, project, facts, dryRun));
  } catch (error) {
    const fault = describeError(error);
    deps.log.error("project not recorded", { project: name, ...failureFields(error) });
    return report(name, "error", [fault], [], []);
  }
}

interface ReadFacts extends EdgeFacts {
  errors: { code: string; message: string }[];
}

async function readFacts(
  deps: EdgeCheckDeps,
  gate: Gate,
  project: { name: string; ref: string | null },
): Promise<ReadFacts> {
  const { sql, config, clock } = deps;
  const knowledge = await readKnowledge(sql, project.name);
  const edge = await readEdgeKnowledge(sql, project.name);
  const now = () => clock().getTime();
  const asking = askAll({ sql, config, now, deadline: now() + HEALTH_BUDGET_MS }, knowledge, edge);
  const [managed, healthAnswers] = await Promise.all([readManaged(deps, gate, project, edge), asking]);
  return { ...managed, healthAnswers };
}

/** What the Management API tells, where it can be asked. */
async function readManaged(
  { config, clock }: EdgeCheckDeps,
  gate: Gate,
  { name, ref }: { name: string; ref: string | null },
  edge: EdgeKnowledge,
): Promise<Omit<ReadFacts, "healthAnswers">> {
  const { url, token } = config.managementApi;
  if (token === null || ref === null) return { deployed: null, logs: null, errors: [] };
  const [api, managed] = [{ url, token }, { name, ref }];
  let deployed: DeployedFunction[];
  try {
    deployed = await listEdgeFunctions(api, managed);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const fault = describeError(error);
    return { deployed: null, logs: unread(edge, fault.message), errors: [fault] };
  }
  const logs = await readLogs(api, managed, gate, deployed, edge, clock().getTime());
  const errors = logs.error === null ? [] : [{ code: "management_api", message: logs.error }];
  return { deployed, logs, errors };
}

async function readLogs(
  api: ManagementApi,
  project: ManagedProject,
  gate: Gate,
  deployed: readonly DeployedFunction[],
  edge: EdgeKnowledge,
  now: number,
): Promise<LogReading> {
  const notBefore = Math.max(gate.notBefore, edge.logs.notBefore ?? 0);
  if (notBefore > now) return limited(unread(edge, null), notBefore);
  const names = new Map(deployed.map(({ functionId, slug }) => [functionId, slug]));
  const logs = await readFunctionLogs(api, project, { known: edge.logs, names, now });
  gate.notBefore = Math.max(gate.notBefore, logs.notBefore ?? 0);
  return logs;
}

function unread({ logs }: EdgeKnowledge, error: string | null): LogReading {
  return { minutes: [], readFrom: logs.readFrom, readUntil: null, notBefore: null, error };
}

/** Judges from the newest that the hub knows, and records; what was read of the outside is read once. */
async function judge(
  deps: EdgeCheckDeps,
  project: { name: string; ref: string | null },
  facts: ReadFacts,
  dryRun: boolean,
): Promise<ProjectEdgeReport> {
  const knowledge: HubKnowledge = await readKnowledge(deps.sql, project.name);
  const edge = await readEdgeKnowledge(deps.sql, project.name, facts.logs?.minutes ?? []);
  const { observations, functions, healthChecks, reports } = evaluateEdge(
    project,
    facts,
    knowledge,
    edge,
    deps.clock().getTime(),
    () => crypto.randomUUID(),
  );
  const recorded = dryRun
    ? NOTHING_RECORDED
    : await recordEdge(deps.sql, observations, { functions, healthChecks, logs: facts.logs });
  const changes = (observations.changes ?? []).map(({ jobName, change }) => ({ job: jobName, change }));
  return report(project.name, "ok", facts.errors, changes, reports, recorded);
}

const NOTHING_RECORDED: Recorded = { logged: 0, incidentsOpened: 0, incidentsResolved: 0 };

function report(
  project: string,
  status: "ok" | "error",
  errors: ProjectEdgeReport["errors"],
  changes: ProjectEdgeReport["changes"],
  reports: readonly FunctionReport[],
  { incidentsOpened, incidentsResolved }: Recorded = NOTHING_RECORDED,
): ProjectEdgeReport {
  return {
    project,
    status,
    errors,
    ...countStatuses(reports),
    changes,
    incidents_opened: incidentsOpened,
    incidents_resolved: incidentsResolved,
    details: reports.map(({ jobName, jobType, lastRunAt, ...one }) => ({
      ...one,
      job_name: jobName,
      job_type: jobType,
      last_run_at: lastRunAt,
    })),
  };
}
