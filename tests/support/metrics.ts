/** A metric that is collected again and again, as the rules see it: every test names only what it is about. */
import type {
  MetricAnswer,
  MetricDefinition,
  MetricHistory,
  MetricRow,
} from "../../supabase/functions/_shared/domain/metric.ts";
import type { OpenIncident } from "../../supabase/functions/_shared/domain/hub.ts";
import type { IncidentTransition } from "../../supabase/functions/_shared/domain/observation.ts";
import {
  evaluateMetrics,
  type MetricEvaluation,
  type MetricKnowledge,
} from "../../supabase/functions/_shared/rules/metrics.ts";
import { seriesKey } from "../../supabase/functions/_shared/rules/metric_text.ts";
import { alertRow } from "./alerts.ts";
import { MINUTE, NOON } from "./facts.ts";

/** The queue's depth: a warning from 100, critical from 1,000, at once. */
export function metricDefinition(over: Partial<MetricDefinition> = {}): MetricDefinition {
  return {
    id: "definition",
    name: "queue_depth",
    projectName: null,
    enabled: true,
    description: "Jobs that wait",
    query: "select 1",
    needs: [],
    unit: null,
    direction: "up",
    judgedBy: "value",
    warning: 100,
    critical: 1000,
    hysteresis: 0,
    leastDifference: 0,
    forMinutes: 0,
    noData: "unknown",
    intervalMinutes: 5,
    timeoutSeconds: 5,
    ...over,
  };
}

/** What one collection of one metric may bring: a number, none, rows, or no answer. */
export type Brought = number | null | readonly MetricRow[] | Error | "not asked" | "not applicable";

export function answerOf(definition: MetricDefinition, brought: Brought): MetricAnswer {
  if (brought instanceof Error) return { definition, kind: "failed", error: brought.message, tookMs: 1 };
  if (brought === "not asked") return { definition, kind: "not_asked", why: "no time" };
  if (brought === "not applicable") return { definition, kind: "not_applicable", missing: ["public.jobs"] };
  if (typeof brought === "number" || brought === null) {
    return { definition, kind: "rows", rows: [{ labels: {}, value: brought }], labelled: false, tookMs: 1 };
  }
  return { definition, kind: "rows", rows: [...brought], labelled: true, tookMs: 1 };
}

/** One collection and what came of it. */
export interface Collected {
  evaluation: MetricEvaluation;
  /** `opened above_warning`, `resolved above_warning (recovered)`: without what only goes on. */
  news: string[];
  /** `[alarm, severity]` of the first series. */
  state: [alarm: string, severity: string] | null;
  /** Codes of the incidents that are open now, sorted. */
  open: string[];
}

/** Collects a metric of project `smoothed` every five minutes from noon on, remembering what the hub would. */
export function metricWorld(definition: MetricDefinition, histories: MetricHistory[] = []) {
  let nextId = 0;
  let now = NOON - 5 * MINUTE;
  let current = definition;
  let active = [definition];
  let known: MetricKnowledge = {
    projectName: "smoothed",
    version: 0,
    collections: [],
    states: [],
    incidents: [],
    histories,
    alertConfigs: [alertRow("team", { criticality: "all" })],
  };
  const collect = (brought: Brought, minutes = 5): Collected => {
    now += minutes * MINUTE;
    const answers = active.includes(current) ? [answerOf(current, brought)] : [];
    const evaluation = evaluateMetrics({ name: "smoothed", ref: null }, answers, active, known, now);
    const transitions = evaluation.observations.incidents ?? [];
    const news = transitions.flatMap((transition) => newsOf(transition, known.incidents));
    known = afterwards(known, evaluation, now, () => `incident ${++nextId}`);
    const [first] = known.states;
    return {
      evaluation,
      news,
      state: first === undefined ? null : [first.alarm, first.severity],
      open: known.incidents.map(({ code }) => code).sort(),
    };
  };
  return {
    collect,
    /** Changes the definition, as a person would. */
    redefine: (over: Partial<MetricDefinition>) => {
      current = { ...current, ...over };
      active = [current];
    },
    /** Switches it off. */
    switchOff: () => void (active = []),
    incidents: () => known.incidents,
  };
}

function newsOf(transition: IncidentTransition, open: readonly OpenIncident[]): string[] {
  if (transition.action === "update") return [];
  if (transition.action === "open") return [`opened ${transition.code}`];
  const code = open.find(({ id }) => id === transition.id)?.code;
  return [`resolved ${code} (${transition.resolution})`];
}

function afterwards(
  known: MetricKnowledge,
  { observations, collections, states, gone }: MetricEvaluation,
  now: number,
  newId: () => string,
): MetricKnowledge {
  const keyOf = ({ definitionId, series }: { definitionId: string; series: string }) =>
    `${definitionId} ${series}`;
  const kept = new Map(known.states.map((state) => [keyOf(state), state]));
  for (const one of gone) kept.delete(keyOf(one));
  for (const state of states) kept.set(keyOf(state), { ...state, series: seriesKey(state.labels) });
  const incidents = new Map(known.incidents.map((incident) => [incident.id, incident]));
  for (const transition of observations.incidents ?? []) {
    if (transition.action === "resolve") incidents.delete(transition.id);
    if (transition.action === "open") {
      const { subjectKind, subjectId, code, severity, summary, detail } = transition;
      const id = newId();
      incidents.set(id, { id, subjectKind, subjectId, code, severity, summary, detail, openedAt: now });
    }
    if (transition.action === "update") {
      const { id, severity, summary, detail } = transition;
      const before = incidents.get(id);
      if (before !== undefined) incidents.set(id, { ...before, severity, summary, detail });
    }
  }
  return {
    ...known,
    version: known.version + 1,
    collections,
    states: [...kept.values()],
    incidents: [...incidents.values()],
  };
}
