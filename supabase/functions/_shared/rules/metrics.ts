/** Judges what one project answered for its metrics: numbers, states, incidents. Pure: no clock, no I/O. */
import type { AlertRoute } from "../domain/delivery.ts";
import type { OpenIncident } from "../domain/hub.ts";
import type {
  MetricAnswer,
  MetricCollection,
  MetricDefinition,
  MetricHistory,
  MetricRow,
  MetricSample,
  MetricSeverity,
  MetricState,
} from "../domain/metric.ts";
import type { Observations } from "../domain/observation.ts";
import type { ProjectIdentity } from "../domain/project.ts";
import { type AlarmStep, stepAlarm } from "./metric_alarm.ts";
import { compareWithWeeks, type Comparison, LEAST_WEEKS } from "./metric_baseline.ts";
import { metricTransitions, type SeriesVerdict } from "./metric_incidents.ts";
import { formatMetric, formatNumber, safeLabels, seriesKey } from "./metric_text.ts";
import { redact } from "./redact.ts";
import { cut, oneLine } from "./text.ts";

const ERROR_LIMIT = 500;
const NO_ALARM: AlarmStep = { level: "none", alarm: "none", warningSince: null, criticalSince: null };

/** What the hub knew of one project's metrics. */
export interface MetricKnowledge {
  projectName: string;
  version: number;
  collections: MetricCollection[];
  states: MetricState[];
  /** The unresolved ones of metrics. */
  incidents: OpenIncident[];
  /** Of those judged by their own weeks. */
  histories: MetricHistory[];
  alertConfigs: AlertRoute[];
}

/** One metric of one project, as an answer shows it. */
export interface MetricReport {
  name: string;
  unit: string | null;
  status: MetricCollection["status"];
  /** Why there is no number. */
  error: string | null;
  tookMs: number | null;
  rows: Pick<MetricState, "labels" | "value" | "severity" | "alarm" | "summary">[];
}

/** What a collection makes of a project. */
export interface MetricEvaluation {
  observations: Observations;
  samples: MetricSample[];
  collections: MetricCollection[];
  states: MetricState[];
  /** Series that are not reported any more. */
  gone: Pick<MetricState, "definitionId" | "series">[];
  reports: MetricReport[];
}

/** What becomes of one metric. */
interface JudgedMetric {
  definition: MetricDefinition;
  collection: MetricCollection;
  states: MetricState[];
  samples: MetricSample[];
  /** Its series that were known and are not among {@link states}. */
  gone: MetricState[];
  /** `null`: nothing is known of its series, and their incidents stay as they are. */
  verdicts: SeriesVerdict[] | null;
}

/**
 * Judges the answers of one project.
 *
 * @param active Every metric that the project has: what is known of others is over.
 * @param now The hub's clock.
 */
export function evaluateMetrics(
  project: ProjectIdentity,
  answers: readonly MetricAnswer[],
  active: readonly MetricDefinition[],
  knowledge: MetricKnowledge,
  now: number,
): MetricEvaluation {
  const judged = answers.map((answer) => judgeMetric(withoutSecrets(answer), knowledge, now));
  const known = new Set(active.map(({ id }) => id));
  const over = knowledge.states.filter(({ definitionId }) => !known.has(definitionId));
  return {
    observations: {
      projectName: project.name,
      projectRef: project.ref,
      expectedVersion: knowledge.version,
      incidents: metricTransitions(judged, active, knowledge, now),
    },
    samples: judged.flatMap(({ samples }) => samples),
    collections: judged.map(({ collection }) => collection),
    states: judged.flatMap(({ states }) => states),
    gone: [...over, ...judged.flatMap(({ gone }) => gone)].map(({ definitionId, series }) => ({
      definitionId,
      series,
    })),
    reports: judged.map(reportOf),
  };
}

/**
 * What a project that could not be asked means: nobody knows the numbers that were wanted. Its own incident is the checks'.
 *
 * @param active Every metric that the project has.
 */
export function evaluateUnasked(
  project: ProjectIdentity,
  error: string,
  wanted: readonly MetricDefinition[],
  active: readonly MetricDefinition[],
  knowledge: MetricKnowledge,
  now: number,
): MetricEvaluation {
  const answers = wanted.map((definition) => ({ definition, kind: "not_asked", why: error }) as const);
  return evaluateMetrics(project, answers, active, knowledge, now);
}

function withoutSecrets(answer: MetricAnswer): MetricAnswer {
  if (answer.kind === "failed") {
    return { ...answer, error: cut(oneLine(redact(answer.error)), ERROR_LIMIT) };
  }
  if (answer.kind !== "rows") return answer;
  const rows = answer.rows.map(({ labels, value }) => ({ labels: safeLabels(labels), value }));
  if (new Set(rows.map(({ labels }) => seriesKey(labels))).size === rows.length) return { ...answer, rows };
  const error = "two of its rows have the same labels once secrets and long texts are cut";
  return { definition: answer.definition, kind: "failed", error, tookMs: answer.tookMs };
}

function judgeMetric(answer: MetricAnswer, knowledge: MetricKnowledge, now: number): JudgedMetric {
  const { definition } = answer;
  const before = knowledge.collections.find(({ definitionId }) => definitionId === definition.id);
  const states = knowledge.states.filter(({ definitionId }) => definitionId === definition.id);
  const base = { definitionId: definition.id, projectName: knowledge.projectName };
  const fine = { failures: 0, failingSince: null };
  switch (answer.kind) {
    case "rows": {
      const collection = {
        ...base,
        status: "ok",
        error: null,
        ...fine,
        askedAt: now,
        tookMs: answer.tookMs,
      } as const;
      return { definition, collection, ...judgeRows(answer, states, knowledge, now) };
    }
    case "failed": {
      const { error, tookMs } = answer;
      const failures = (before?.failures ?? 0) + 1;
      const failingSince = before?.failingSince ?? now;
      const collection = {
        ...base,
        status: "failed",
        error,
        failures,
        failingSince,
        askedAt: now,
        tookMs,
      } as const;
      return { definition, collection, ...unknown(states, error) };
    }
    case "not_asked": {
      // neither a failure nor the end of one
      const { failures, failingSince } = before ?? fine;
      const askedAt = before?.askedAt ?? null;
      const collection = {
        ...base,
        status: "not_asked",
        error: answer.why,
        failures,
        failingSince,
        askedAt,
        tookMs: null,
      } as const;
      return { definition, collection, ...unknown(states, `not asked: ${answer.why}`) };
    }
    case "not_applicable": {
      const error = `the project has no ${answer.missing.join(", ")}`;
      const collection = {
        ...base,
        status: "not_applicable",
        error,
        ...fine,
        askedAt: now,
        tookMs: null,
      } as const;
      return { definition, collection, states: [], samples: [], gone: states, verdicts: [] };
    }
  }
}

/** Alarms that hold go on holding: unknown is no recovery. */
function unknown(
  states: readonly MetricState[],
  why: string,
): Omit<JudgedMetric, "definition" | "collection"> {
  return {
    states: states.map((state) => ({ ...state, severity: "unknown", summary: why })),
    samples: [],
    gone: [],
    verdicts: null,
  };
}

function judgeRows(
  { definition, rows, labelled }: Extract<MetricAnswer, { kind: "rows" }>,
  states: readonly MetricState[],
  knowledge: MetricKnowledge,
  now: number,
): Omit<JudgedMetric, "definition" | "collection"> {
  // no rows where each stands for something: there is nothing of it, unless somebody wants to hear of that
  const absent = rows.length === 0 && (!labelled || isBad(definition.noData));
  const all: MetricRow[] = absent ? [{ labels: {}, value: null }] : [...rows];
  const before = new Map(states.map((state) => [state.series, state]));
  const judged = all.map((row) =>
    judgeSeries(definition, row, before.get(seriesKey(row.labels)) ?? null, knowledge, now)
  );
  const kept = new Set(judged.map(({ state }) => state.series));
  return {
    states: judged.map(({ state }) => state),
    samples: judged.map(({ state: { labels, value, severity } }) => ({
      metricName: definition.name,
      labels,
      value,
      severity,
    })),
    gone: states.filter(({ series }) => !kept.has(series)),
    verdicts: judged.map(({ verdict }) => verdict),
  };
}

/** One number, or none, of one series. */
function judgeSeries(
  definition: MetricDefinition,
  { labels, value }: MetricRow,
  before: MetricState | null,
  knowledge: MetricKnowledge,
  now: number,
): { state: MetricState; verdict: SeriesVerdict } {
  const series = seriesKey(labels);
  const ownWeeks = definition.judgedBy === "own weeks";
  const comparison = ownWeeks && value !== null
    ? compareWithWeeks(value, weeksOf(definition, series, knowledge), definition)
    : null;
  const measure = ownWeeks ? comparison?.distance ?? null : value;
  const judged = measure === null
    ? judgeDoubt(definition, value, before, now)
    : judgeMeasure(definition, measure, before, now);
  const { step, noDataSince, severity, certain } = judged;
  const { alarm, warningSince, criticalSince } = step;
  return {
    state: {
      definitionId: definition.id,
      ...{ series, labels, value, severity, alarm, warningSince, criticalSince, noDataSince },
      summary: judged.summary ?? inWords(definition, value ?? NaN, comparison),
      recordedAt: now,
    },
    verdict: { series, labels, value, step, noDataSince, comparison, certain },
  };
}

interface Judgement extends Pick<SeriesVerdict, "step" | "noDataSince" | "certain"> {
  severity: MetricSeverity;
  /** `null`: the number says it. */
  summary: string | null;
}

function judgeMeasure(
  definition: MetricDefinition,
  measure: number,
  before: MetricState | null,
  now: number,
): Judgement {
  const step = stepAlarm(measure, definition, before, now);
  const severity = step.level === "none" ? "ok" : step.level;
  return { step, noDataSince: null, certain: true, severity, summary: null };
}

/** No number, or none that anything is known to compare with. */
function judgeDoubt(
  { noData }: MetricDefinition,
  value: number | null,
  before: MetricState | null,
  now: number,
): Judgement {
  if (value !== null) {
    const summary = `${LEAST_WEEKS} weeks of history are needed to say what is usual at this hour`;
    return { step: holding(before), noDataSince: null, certain: false, severity: "unknown", summary };
  }
  const fine = noData === "ok";
  return {
    step: fine ? NO_ALARM : holding(before),
    noDataSince: isBad(noData) ? before?.noDataSince ?? now : null,
    certain: fine,
    severity: noData,
    summary: "the query answers no number",
  };
}

/** What holds goes on holding, since unknown is no recovery; what was about to begin does not. */
function holding(before: MetricState | null): AlarmStep {
  if (before === null || before.alarm === "none") return NO_ALARM;
  const { alarm, warningSince, criticalSince } = before;
  return {
    level: alarm,
    alarm,
    warningSince,
    criticalSince: alarm === "critical" ? criticalSince : null,
  };
}

function isBad(severity: MetricSeverity): boolean {
  return severity === "warning" || severity === "critical";
}

function weeksOf(definition: MetricDefinition, series: string, { histories }: MetricKnowledge): number[] {
  return histories.find((history) =>
    history.definitionId === definition.id && seriesKey(history.labels) === series
  )?.weeks ?? [];
}

/** `900 actions, where 120 is usual at this hour`. */
function inWords({ unit }: MetricDefinition, value: number, comparison: Comparison | null): string {
  const told = formatMetric(value, unit);
  return comparison === null
    ? told
    : `${told}, where ${formatNumber(comparison.usual)} is usual at this hour`;
}

function reportOf({ definition, collection, states }: JudgedMetric): MetricReport {
  const { name, unit } = definition;
  const { status, error, tookMs } = collection;
  return {
    name,
    unit,
    status,
    error,
    tookMs,
    rows: status === "ok"
      ? states.map(({ labels, value, severity, alarm, summary }) => ({
        labels,
        value,
        severity,
        alarm,
        summary,
      }))
      : [],
  };
}
