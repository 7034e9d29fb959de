/** Keeps the inventory: what jobs and edge functions every project has, and what changed. Never an annotation. */
import type postgres from "postgres";
import type { Clock } from "../_shared/clock.ts";
import type { Config } from "../_shared/config.ts";
import type { CronFacts } from "../_shared/domain/facts.ts";
import type { EdgeKnowledge } from "../_shared/domain/edge_function.ts";
import type { HubKnowledge } from "../_shared/domain/hub.ts";
import type { Observations } from "../_shared/domain/observation.ts";
import type { WatchedProject } from "../_shared/domain/project.ts";
import { AppError, describeError } from "../_shared/errors.ts";
import type { TriggerInput } from "../_shared/http/trigger.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import { readKnowledge } from "../_shared/hub/knowledge.ts";
import { readConfiguredSecrets } from "../_shared/hub/secrets.ts";
import { listProjects, nameOf, type ProjectEntry } from "../_shared/hub/projects.ts";
import { readEdgeKnowledge } from "../_shared/hub/edge_knowledge.ts";
import { recordEdge } from "../_shared/hub/edge_record.ts";
import { untilRecorded } from "../_shared/hub/record.ts";
import { failureFields, type Log } from "../_shared/log.ts";
import { driftTransitions } from "../_shared/rules/drift.ts";
import { evaluateUnreadable, reconcileCron } from "../_shared/rules/evaluate.ts";
import { type EdgeReconciliation, reconcileFunctions } from "../_shared/rules/edge_inventory.ts";
import type { Reconciliation } from "../_shared/rules/inventory.ts";
import { closeRemovedJob } from "../_shared/rules/job_transitions.ts";
import { secretBlanker } from "../_shared/rules/redact.ts";
import { readCronFacts } from "../_shared/sources/cron_facts.ts";
import { listEdgeFunctions } from "../_shared/sources/management_api.ts";

/** What a discovery needs of the world. */
export interface DiscoverDeps {
  sql: postgres.Sql;
  config: Config;
  clock: Clock;
  log: Log;
}

interface Fault {
  code: string;
  message: string;
}

/** One project in the answer. */
export interface ProjectDiscovery {
  project: string;
  status: "ok" | "error";
  /** Everything that could not be read; what could be is kept all the same. */
  errors: Fault[];
  jobs: number;
  edge_functions: number;
  changes: { job: string; change: string }[];
  /** What is doubtful about the HTTP calls in commands. */
  warnings: { job: string; code: string; warning: string }[];
}

/** The answer of a discovery. */
export interface DiscoverReport {
  discovered_at: string;
  dry_run: boolean;
  jobs: number;
  edge_functions: number;
  changes: number;
  errors: number;
  projects: ProjectDiscovery[];
}

/**
 * Discovers every watched project, or the one named, side by side.
 *
 * @throws {AppError} `not_found` for an unknown project; `hub_unreachable` or `hub_failed` when nothing can be kept.
 */
export async function runDiscovery(deps: DiscoverDeps, input: TriggerInput): Promise<DiscoverReport> {
  const entries = await listProjects(deps.sql, deps.config, input.project);
  const secrets = await readConfiguredSecrets({ sql: deps.sql, env: deps.config.secret });
  const look = { ...deps, blank: secretBlanker([...deps.config.secrets, ...secrets]) };
  const projects = await Promise.all(entries.map((entry) => discoverProject(look, entry, input.dry_run)));
  const sum = (count: (project: ProjectDiscovery) => number) =>
    projects.reduce((total, one) => total + count(one), 0);
  return {
    discovered_at: deps.clock().toISOString(),
    dry_run: input.dry_run,
    jobs: sum((project) => project.jobs),
    edge_functions: sum((project) => project.edge_functions),
    changes: sum((project) => project.changes.length),
    errors: sum((project) => project.errors.length),
    projects,
  };
}

/** How a discovery is noted in `check_runs`. */
export function discoveryEnding(report: DiscoverReport, input: TriggerInput): CheckRunEnd {
  const faults = report.projects.flatMap((project) => project.errors.map((error) => error.message));
  const allFailed = report.projects.every((project) => project.status === "error");
  return {
    status: allFailed ? "failed" : faults.length > 0 || input.project !== undefined ? "partial" : "complete",
    counts: { jobs: report.jobs, edge_functions: report.edge_functions, changes: report.changes },
    error: faults.length === 0 ? null : faults.join("; "),
  };
}

/** What each project is looked at with. */
interface LookDeps extends DiscoverDeps {
  /** Takes secrets of ours out of what a project says. */
  blank: <T>(value: T) => T;
}

async function discoverProject(
  deps: LookDeps,
  entry: ProjectEntry,
  dryRun: boolean,
): Promise<ProjectDiscovery> {
  const name = nameOf(entry);
  try {
    return await untilRecorded(async () => {
      const knowledge = await readKnowledge(deps.sql, name);
      const edge = await readEdgeKnowledge(deps.sql, name);
      const found = await lookAt(deps, entry, knowledge, edge);
      if (!dryRun) await recordEdge(deps.sql, found.observations, { functions: found.functions });
      for (const error of found.report.errors) {
        deps.log.warn("project not discovered", { project: name, ...error });
      }
      return found.report;
    });
  } catch (error) {
    const fault = describeError(error);
    deps.log.error("project not recorded", { project: name, ...failureFields(error) });
    return failedReport(name, [fault]);
  }
}

interface Found {
  observations: Observations;
  functions: EdgeReconciliation["functions"];
  report: ProjectDiscovery;
}

async function lookAt(
  deps: LookDeps,
  entry: ProjectEntry,
  knowledge: HubKnowledge,
  edge: EdgeKnowledge,
): Promise<Found> {
  if (entry.kind === "fault") {
    const { observations } = evaluateUnreadable({ name: entry.name, ref: null }, entry.error, knowledge);
    return { observations, functions: [], report: failedReport(entry.name, [entry.error]) };
  }
  const { project } = entry;
  const connect = { caCert: deps.config.postgresCaCert, connectTimeoutSeconds: 10 };
  const [cron, functions] = await Promise.all([
    readCronFacts(project, "jobs only", connect).then(deps.blank).catch(faultOf),
    readFunctions(deps.config, project).then(deps.blank).catch(faultOf),
  ]);
  return assemble(project, cron, functions, knowledge, edge);
}

/** What was read, or why it could not be. */
type Result<T> = T | { fault: Fault };

function faultOf(error: unknown): { fault: Fault } {
  if (!(error instanceof AppError)) throw error;
  return { fault: describeError(error) };
}

/** `null`: nobody asked for edge functions (no ref or no token). */
async function readFunctions(config: Config, project: WatchedProject) {
  const { url, token } = config.managementApi;
  if (token === null || project.ref === null) return { functions: null };
  return { functions: await listEdgeFunctions({ url, token }, { name: project.name, ref: project.ref }) };
}

function assemble(
  project: WatchedProject,
  cron: Result<CronFacts>,
  functions: Result<Awaited<ReturnType<typeof readFunctions>>>,
  knowledge: HubKnowledge,
  edge: EdgeKnowledge,
): Found {
  const newId = () => crypto.randomUUID();
  const nothing: Reconciliation = { jobs: [], removed: [], changes: [] };
  const cronJobs = "fault" in cron ? nothing : reconcileCron(project, cron, knowledge, newId);
  const shown: EdgeReconciliation = "fault" in functions || functions.functions === null
    ? { ...nothing, functions: [] }
    : reconcileFunctions(functions.functions, knowledge, edge, newId);
  const errors = [cron, functions].flatMap((result) => "fault" in result ? [result.fault] : []);
  const removed = [...cronJobs.removed, ...shown.removed];
  const changes = [...cronJobs.changes, ...shown.changes];
  const unreadable = "fault" in cron ? evaluateUnreadable(project, cron.fault, knowledge).observations : null;
  return {
    observations: {
      ...unreadable,
      projectName: project.name,
      projectRef: project.ref,
      expectedVersion: knowledge.version,
      jobs: [...cronJobs.jobs, ...shown.jobs],
      removed,
      changes,
      incidents: [
        ...unreadable?.incidents ?? [],
        // whether a removed function was expected, check-edge-functions judges
        ...cronJobs.removed.flatMap((id) => closeRemovedJob(id, knowledge)),
        ...[cronJobs, shown].flatMap((inventory) => driftTransitions(inventory, knowledge)),
      ],
    },
    functions: shown.functions,
    report: {
      project: project.name,
      status: "fault" in cron ? "error" : "ok",
      errors,
      jobs: cronJobs.jobs.length,
      edge_functions: shown.jobs.length,
      changes: changes.map(({ jobName, change }) => ({ job: jobName, change })),
      warnings: cronJobs.jobs.flatMap(({ jobName, warnings = [] }) =>
        warnings.map(({ code, message }) => ({ job: jobName, code, warning: message }))
      ),
    },
  };
}

function failedReport(project: string, errors: Fault[]): ProjectDiscovery {
  return { project, status: "error", errors, jobs: 0, edge_functions: 0, changes: [], warnings: [] };
}
