/** The line: definitions → answers → judge → record, for every project side by side. Delivery is the outbox's. */
import type postgres from "postgres";
import { z } from "zod";
import type { Clock } from "../_shared/clock.ts";
import type { Config } from "../_shared/config.ts";
import type {
  MetricAlarm,
  MetricAnswer,
  MetricDefinition,
  MetricSeverity,
} from "../_shared/domain/metric.ts";
import { AppError, describeError } from "../_shared/errors.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import { readDefinitions, readProjectMetrics, recordMetrics } from "../_shared/hub/metrics.ts";
import { readConfiguredSecrets } from "../_shared/hub/secrets.ts";
import { listProjects, nameOf, type ProjectEntry } from "../_shared/hub/projects.ts";
import { type Recorded, untilRecorded } from "../_shared/hub/record.ts";
import { triggerInput } from "../_shared/http/trigger.ts";
import { failureFields, type Log } from "../_shared/log.ts";
import { definitionsOf, dueDefinitions } from "../_shared/rules/metric_selection.ts";
import { secretBlanker } from "../_shared/rules/redact.ts";
import { evaluateMetrics, evaluateUnasked, type MetricReport } from "../_shared/rules/metrics.ts";
import { readMetrics } from "../_shared/sources/metric_facts.ts";

/** What a caller may ask: as of any function of the schedule, and for one metric, due or not. */
export const metricInput = triggerInput.extend({
  /** Only this metric, now; in a dry run also one that is off. */
  metric: z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, "must be lower case letters, digits or _").optional(),
});
export type MetricInput = z.infer<typeof metricInput>;

/** What a collection needs of the world. */
export interface CollectDeps {
  sql: postgres.Sql;
  config: Config;
  clock: Clock;
  log: Log;
}

/** One metric of one project in the answer. */
export interface MetricOutcome {
  metric: string;
  unit: string | null;
  /** `not_applicable`: the project lacks what it needs. `not_asked`: what came before took too long. */
  status: "ok" | "failed" | "not_applicable" | "not_asked";
  error?: string;
  took_ms: number | null;
  rows: {
    labels: Record<string, string>;
    value: number | null;
    severity: MetricSeverity;
    /** What has lasted long enough to alert. */
    alarm: MetricAlarm;
    summary: string | null;
  }[];
}

/** One project in the answer. */
export interface ProjectMetricsReport {
  project: string;
  status: "ok" | "error";
  /** Why it could not be asked or recorded. */
  error?: { code: string; message: string };
  incidents_opened: number;
  incidents_resolved: number;
  metrics: MetricOutcome[];
}

/** The answer of a collection. */
export interface CollectionReport {
  collected_at: string;
  dry_run: boolean;
  /** How many numbers mean what. */
  numbers: Record<MetricSeverity, number>;
  /** Queries that failed, or had no time. */
  failed: number;
  not_asked: number;
  /** Projects that could not be asked. */
  errors: number;
  /** Definitions that make no sense. */
  faults: string[];
  incidents_opened: number;
  incidents_resolved: number;
  projects: ProjectMetricsReport[];
}

/**
 * Collects the metrics that are due from every watched project, or from the one named.
 *
 * @throws {AppError} `not_found` for an unknown project or metric; `hub_unreachable` or `hub_failed` when nothing can
 *   be kept.
 */
export async function runCollection(deps: CollectDeps, input: MetricInput): Promise<CollectionReport> {
  const all = await listProjects(deps.sql, deps.config);
  const entries = input.project === undefined
    ? all
    : await listProjects(deps.sql, deps.config, input.project);
  const { definitions, faults } = await readDefinitions(deps.sql, all.map(nameOf));
  const chosen = chooseMetrics(entries, definitions, input);
  const secrets = await readConfiguredSecrets({ sql: deps.sql, env: deps.config.secret });
  const look = { ...deps, blank: secretBlanker([...deps.config.secrets, ...secrets]) };
  const projects = await Promise.all(chosen.map((choice) => collectProject(look, choice, input)));
  for (const fault of faults) deps.log.warn("metric definition at fault", { fault });
  const rows = projects.flatMap(({ metrics }) => metrics.flatMap((metric) => metric.rows));
  const outcomes = projects.flatMap(({ metrics }) => metrics);
  const severities = (severity: MetricSeverity) => rows.filter((row) => row.severity === severity).length;
  const statuses = (status: MetricOutcome["status"]) =>
    outcomes.filter((outcome) => outcome.status === status).length;
  const sum = (count: (report: ProjectMetricsReport) => number) =>
    projects.reduce((total, report) => total + count(report), 0);
  return {
    collected_at: deps.clock().toISOString(),
    dry_run: input.dry_run,
    numbers: {
      ok: severities("ok"),
      warning: severities("warning"),
      critical: severities("critical"),
      unknown: severities("unknown"),
    },
    failed: statuses("failed"),
    not_asked: statuses("not_asked"),
    errors: sum(({ status }) => status === "error" ? 1 : 0),
    faults,
    incidents_opened: sum((report) => report.incidents_opened),
    incidents_resolved: sum((report) => report.incidents_resolved),
    projects,
  };
}

/** How a collection is noted in `check_runs`: a query that fails is a finding, not a reason to be incomplete. */
export function collectionEnding(report: CollectionReport, input: MetricInput): CheckRunEnd {
  const { numbers, failed, not_asked, incidents_opened, incidents_resolved } = report;
  const missed = report.projects.flatMap((project) => project.error?.message ?? []);
  const late = not_asked > 0 && missed.length === 0
    ? [`${not_asked} metrics were not asked for lack of time`]
    : [];
  const faults = [...missed, ...report.faults, ...late];
  const narrowed = input.project !== undefined || input.metric !== undefined;
  const allFailed = report.projects.length > 0 && missed.length === report.projects.length;
  return {
    status: allFailed ? "failed" : faults.length > 0 || narrowed ? "partial" : "complete",
    counts: { ...numbers, failed, not_asked, incidents_opened, incidents_resolved },
    error: faults.length === 0 ? null : faults.join("; "),
  };
}

/** What each project is asked with. */
interface AskDeps extends CollectDeps {
  /** Takes secrets of ours out of what a project says. */
  blank: <T>(value: T) => T;
}

/** A project and what to ask it. */
interface Choice {
  entry: ProjectEntry;
  active: MetricDefinition[];
  /** The one metric that was asked for, due or not; `null`: those that are due. */
  only: MetricDefinition | null;
}

function chooseMetrics(
  entries: readonly ProjectEntry[],
  definitions: readonly MetricDefinition[],
  { metric, project, dry_run }: MetricInput,
): Choice[] {
  const choices = entries.map((entry): Choice => {
    const all = definitionsOf(definitions, nameOf(entry), dry_run ? "all" : "without those that are off");
    const only = all.find(({ name }) => name === metric) ?? null;
    return { entry, active: all.filter(({ enabled }) => enabled), only };
  });
  if (metric === undefined) return choices;
  const having = choices.filter(({ only }) => only !== null);
  if (having.length > 0) return having;
  const where = project === undefined ? "" : ` of project "${project}"`;
  const isOff = definitions.some(({ name, enabled }) => name === metric && !enabled);
  const known = [...new Set(definitions.map(({ name }) => name))].join(", ");
  throw new AppError(
    "not_found",
    isOff && !dry_run
      ? `Metric "${metric}"${where} is off; switch it on in metric_definitions, or try it with a dry run`
      : `Unknown metric "${metric}"${where}; there are: ${known}`,
  );
}

const NOTHING_RECORDED: Recorded = { logged: 0, incidentsOpened: 0, incidentsResolved: 0 };

async function collectProject(
  deps: AskDeps,
  choice: Choice,
  input: MetricInput,
): Promise<ProjectMetricsReport> {
  const name = nameOf(choice.entry);
  try {
    return await collect(deps, choice, input);
  } catch (error) {
    // the hub itself failed for this project: the others go on
    const fault = describeError(error);
    deps.log.error("metrics not recorded", { project: name, ...failureFields(error) });
    return report(name, fault, [], NOTHING_RECORDED);
  }
}

/** Asks once; only judging and recording are done again when somebody else recorded the project meanwhile. */
async function collect(
  deps: AskDeps,
  { entry, active, only }: Choice,
  input: MetricInput,
): Promise<ProjectMetricsReport> {
  const name = nameOf(entry);
  const project = entry.kind === "project" ? entry.project : { name, ref: null };
  let knowledge = await readProjectMetrics(deps.sql, name, deps.clock().getTime());
  const due = only === null ? dueDefinitions(active, knowledge.collections, deps.clock().getTime()) : [only];
  const ids = new Set(active.map(({ id }) => id));
  const stale = knowledge.states.some(({ definitionId }) => !ids.has(definitionId));
  if (due.length === 0 && knowledge.incidents.length === 0 && !stale) {
    return report(name, null, [], NOTHING_RECORDED);
  }
  const { answers, error } = await ask(deps, entry, due);
  if (error !== null) deps.log.warn("metrics not read", { project: name, ...error });
  const now = deps.clock().getTime();
  let first = true;
  return await untilRecorded(async () => {
    if (!first) knowledge = await readProjectMetrics(deps.sql, name, now);
    first = false;
    const evaluation = error === null
      ? evaluateMetrics(project, answers, active, knowledge, now)
      : evaluateUnasked(project, error.message, only === null ? active : [only], active, knowledge, now);
    const recorded = input.dry_run ? NOTHING_RECORDED : await recordMetrics(deps.sql, evaluation, now);
    return report(name, error, evaluation.reports, recorded);
  });
}

interface Asked {
  answers: MetricAnswer[];
  /** Why the project could not be asked at all. */
  error: { code: string; message: string } | null;
}

async function ask(
  deps: AskDeps,
  entry: ProjectEntry,
  due: readonly MetricDefinition[],
): Promise<Asked> {
  if (entry.kind === "fault") return { answers: [], error: entry.error };
  if (due.length === 0) return { answers: [], error: null };
  try {
    const connect = { caCert: deps.config.postgresCaCert, connectTimeoutSeconds: 10 };
    return { answers: deps.blank(await readMetrics(entry.project, due, connect)), error: null };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { answers: [], error: describeError(error) };
  }
}

function report(
  project: string,
  error: { code: string; message: string } | null,
  metrics: readonly MetricReport[],
  { incidentsOpened, incidentsResolved }: Recorded,
): ProjectMetricsReport {
  return {
    project,
    ...(error === null ? { status: "ok" } : { status: "error", error }),
    incidents_opened: incidentsOpened,
    incidents_resolved: incidentsResolved,
    metrics: metrics.map((metric) => ({
      metric: metric.name,
      unit: metric.unit,
      status: metric.status,
      ...(metric.error === null ? {} : { error: metric.error }),
      took_ms: metric.tookMs,
      rows: metric.rows,
    })),
  };
}
