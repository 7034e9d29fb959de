/** What becomes of the incidents of metrics: each series has its own, and so has a query that keeps failing. */
import type { NewsEvent } from "../domain/delivery.ts";
import type { OpenIncident } from "../domain/hub.ts";
import type { IncidentDetail } from "../domain/incident.ts";
import type { Severity } from "../domain/job.ts";
import type { MetricCollection, MetricDefinition, MetricLabels } from "../domain/metric.ts";
import type { IncidentTransition, Resolution } from "../domain/observation.ts";
import type { AlarmStep } from "./metric_alarm.ts";
import type { Comparison } from "./metric_baseline.ts";
import { formatMetric, formatNumber, seriesName, thresholdsInWords } from "./metric_text.ts";
import type { MetricKnowledge } from "./metrics.ts";
import { owedDeliveries } from "./owed_deliveries.ts";
import { formatDuration } from "./text.ts";

const MINUTE_MS = 60_000;
const TOLERANCE_MS = 30_000;
/** Failures in a row before a query counts as broken: a lock or a restart fails one. */
const FAILURES = 2;

/** What one number of a series means. */
export interface SeriesVerdict {
  series: string;
  labels: MetricLabels;
  value: number | null;
  step: AlarmStep;
  /** Since when there has been no number, where that is bad. */
  noDataSince: number | null;
  comparison: Comparison | null;
  /** `false`: nobody can say whether what held is over. */
  certain: boolean;
}

/** What is known of one metric after it was asked. */
interface AskedMetric {
  definition: MetricDefinition;
  collection: MetricCollection;
  verdicts: readonly SeriesVerdict[] | null;
}

/** Something that holds. */
interface Condition {
  subjectId: string;
  code: string;
  severity: Severity;
  summary: string;
  detail: IncidentDetail;
}

/** The subject of a metric's incidents: `smoothed/queue_depth`, `smoothed/dead_tuples{table="orders"}`. */
function metricSubject(projectName: string, metricName: string, series: string): string {
  return `${projectName}/${metricName}${series}`;
}

/**
 * The transitions that one collection makes.
 *
 * @param active Every metric that the project has: incidents of others end.
 */
export function metricTransitions(
  asked: readonly AskedMetric[],
  active: readonly MetricDefinition[],
  knowledge: MetricKnowledge,
  now: number,
): IncidentTransition[] {
  const { projectName, incidents } = knowledge;
  const names = new Set(active.map(({ name }) => name));
  const byMetric = Map.groupBy(incidents, ({ subjectId }) => metricOf(projectName, subjectId));
  const orphans = [...byMetric].filter(([name]) => !names.has(name)).flatMap(([, open]) => open);
  return [
    ...orphans.map((incident) => resolve(incident, "removed", knowledge)),
    ...asked.flatMap((metric) =>
      transitionsOf(metric, byMetric.get(metric.definition.name) ?? [], knowledge, now)
    ),
  ];
}

function metricOf(projectName: string, subjectId: string): string {
  const name = subjectId.startsWith(`${projectName}/`) ? subjectId.slice(projectName.length + 1) : subjectId;
  return name.split("{")[0] ?? name;
}

function transitionsOf(
  metric: AskedMetric,
  open: readonly OpenIncident[],
  knowledge: MetricKnowledge,
  now: number,
): IncidentTransition[] {
  const { definition, collection, verdicts } = metric;
  const subject = (series: string) => metricSubject(knowledge.projectName, definition.name, series);
  const failing = queryFailed(metric, subject(""), now);
  const conditions = [
    ...(failing === null ? [] : [failing]),
    ...(verdicts ?? []).flatMap((verdict) => conditionsOf(definition, verdict, subject(verdict.series), now)),
  ];
  const bySubject = new Map((verdicts ?? []).map((verdict) => [subject(verdict.series), verdict]));
  const holds = (incident: OpenIncident) =>
    conditions.find(({ subjectId, code }) => subjectId === incident.subjectId && code === incident.code);
  const ended = open.filter((incident) => holds(incident) === undefined).flatMap((incident) => {
    const known = verdicts === null ? null : bySubject;
    // rows with labels came back where there were none
    const returned = incident.code === "no_data" && incident.subjectId === subject("") && known !== null &&
      known.size > 0;
    const resolution = returned ? "recovered" : resolutionOf(incident, collection, known, conditions);
    return resolution === null ? [] : [resolve(incident, resolution, knowledge)];
  });
  const lasting = open.flatMap((incident): IncidentTransition[] => {
    const condition = holds(incident);
    if (condition === undefined) return [];
    const { severity, summary, detail } = condition;
    return [{ action: "update", id: incident.id, severity, summary, detail }];
  });
  const isOpen = ({ subjectId, code }: Condition) =>
    open.some((incident) => incident.subjectId === subjectId && incident.code === code);
  const begun = conditions
    .filter((condition) => !isOpen(condition) && !isImplied(condition, conditions))
    .map((condition): IncidentTransition => ({
      action: "open",
      subjectKind: "metric",
      jobInventoryId: null,
      ...condition,
      deliveries: owed("opened", condition.severity, knowledge),
    }));
  return [...ended, ...lasting, ...begun];
}

/** How an incident without its condition ended; `null` while nobody can say that it has. */
function resolutionOf(
  incident: OpenIncident,
  collection: MetricCollection,
  verdicts: ReadonlyMap<string, SeriesVerdict> | null,
  conditions: readonly Condition[],
): Resolution | null {
  if (incident.code === "query_failed") {
    return collection.status === "not_asked" || collection.status === "failed"
      ? null
      : collection.status === "ok"
      ? "recovered"
      : "removed";
  }
  if (verdicts === null) return null;
  const verdict = verdicts.get(incident.subjectId);
  if (verdict === undefined) return "removed";
  if (incident.code === "no_data") return "recovered";
  if (!verdict.certain) return null;
  return conditions.some(({ subjectId, severity }) =>
      subjectId === incident.subjectId && severity === "important"
    )
    ? "superseded"
    : "recovered";
}

/** A warning says nothing that an alarm of the same series does not; one that is open stays for its own end. */
function isImplied({ subjectId, code }: Condition, conditions: readonly Condition[]): boolean {
  const graver =
    { above_warning: "above_critical", below_warning: "below_critical", unusual: "very_unusual" }[code];
  return conditions.some((other) => other.subjectId === subjectId && other.code === graver);
}

function resolve(
  incident: OpenIncident,
  resolution: Resolution,
  knowledge: MetricKnowledge,
): IncidentTransition {
  return {
    action: "resolve",
    id: incident.id,
    resolution,
    detail: {},
    deliveries: owed("resolved", incident.severity, knowledge),
  };
}

function owed(event: NewsEvent, severity: Severity, { projectName, alertConfigs }: MetricKnowledge) {
  return owedDeliveries({ severity, alertChannel: null, projectName, event }, alertConfigs);
}

// --- conditions ---

function conditionsOf(
  definition: MetricDefinition,
  verdict: SeriesVerdict,
  subjectId: string,
  now: number,
): Condition[] {
  const { alarm, warningSince, criticalSince } = verdict.step;
  const conditions: Condition[] = [];
  if (verdict.certain && verdict.value !== null) {
    const told = (grade: "warning" | "critical", since: number | null): Condition => ({
      subjectId,
      code: codeOf(definition, grade),
      severity: grade === "critical" ? "critical" : "important",
      summary: summaryOf(definition, verdict, grade, now - (since ?? now)),
      detail: detailOf(definition, verdict),
    });
    if (alarm === "critical") conditions.push(told("critical", criticalSince));
    if (alarm !== "none" && warningSince !== null) conditions.push(told("warning", warningSince));
  }
  const { noDataSince } = verdict;
  if (noDataSince !== null && now - noDataSince + TOLERANCE_MS >= definition.forMinutes * MINUTE_MS) {
    conditions.push({
      subjectId,
      code: "no_data",
      severity: definition.noData === "critical" ? "critical" : "important",
      summary: `it has no number${lasting(now - noDataSince)}`,
      detail: detailOf(definition, verdict),
    });
  }
  return conditions;
}

function codeOf({ judgedBy, direction }: MetricDefinition, grade: "warning" | "critical"): string {
  if (judgedBy === "own weeks") return grade === "critical" ? "very_unusual" : "unusual";
  return `${direction === "down" ? "below" : "above"}_${grade}`;
}

function summaryOf(
  definition: MetricDefinition,
  { value, comparison }: SeriesVerdict,
  grade: "warning" | "critical",
  lastedMs: number,
): string {
  const { unit, direction } = definition;
  const told = `it is ${formatMetric(value ?? NaN, unit)}`;
  if (comparison !== null) {
    const usual = formatMetric(comparison.usual, unit);
    return `${told}, where ${usual} is usual at this hour${lasting(lastedMs)}`;
  }
  const threshold = definition[grade] ?? NaN;
  const from = `${grade} from ${formatMetric(threshold, unit)}${direction === "down" ? " down" : ""}`;
  return `${told} (${from})${lasting(lastedMs)}`;
}

function lasting(milliseconds: number): string {
  return milliseconds < MINUTE_MS ? "" : `, for ${formatDuration(milliseconds)}`;
}

function detailOf(definition: MetricDefinition, { labels, comparison }: SeriesVerdict): IncidentDetail {
  const facts = [{ label: "Thresholds", value: thresholdsInWords(definition) }];
  if (comparison !== null) {
    const { usual, weeks, distance } = comparison;
    const off = Math.abs(distance) > 999
      ? "far"
      : `${formatNumber(Number(distance.toFixed(1)))} times as far`;
    facts.push({
      label: "Usual at this hour",
      value: `${formatMetric(usual, definition.unit)}, by ${weeks} weeks; this is ${off} off as usual`,
    });
  }
  return {
    subjectName: seriesName(definition.name, labels),
    cause: definition.description,
    facts: facts.filter(({ value }) => value !== ""),
  };
}

function queryFailed(
  { definition, collection }: AskedMetric,
  subjectId: string,
  now: number,
): Condition | null {
  if (collection.status !== "failed" || collection.failures < FAILURES) return null;
  const watched = definition.critical !== null || definition.warning !== null;
  return {
    subjectId,
    code: "query_failed",
    // nobody would hear of what it watches
    severity: watched ? "important" : "low",
    summary: `it cannot be read${lasting(now - (collection.failingSince ?? now))}: ${collection.error}`,
    detail: { subjectName: definition.name, cause: null },
  };
}
