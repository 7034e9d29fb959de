/** Metrics in the hub: what people defined, what is known of each project's, and what a collection records. */
import type postgres from "postgres";
import { z } from "zod";
import { alertRoute } from "../domain/delivery.ts";
import { incidentDetail, subjectKind } from "../domain/incident.ts";
import { severity } from "../domain/job.ts";
import {
  metricCollection,
  type MetricDefinition,
  metricDefinition,
  metricHistory,
  type MetricSample,
  metricState,
} from "../domain/metric.ts";
import type { MetricCollection, MetricHistory, MetricState } from "../domain/metric.ts";
import type { AlertRoute } from "../domain/delivery.ts";
import type { OpenIncident } from "../domain/hub.ts";
import type { Observations } from "../domain/observation.ts";
import { hubError } from "./client.ts";
import { iso, type Recorded, toJson, toPayload, toRecorded } from "./record.ts";

/** Weeks that "own weeks" looks back, and how far around the hour. */
const WEEKS = 8;
const AROUND_MINUTES = 30;

/** Definitions, and what is wrong with rows that are none. */
export interface Definitions {
  definitions: MetricDefinition[];
  faults: string[];
}

const definitionRow = z.object({
  name: z.string(),
  /** `null`: for every project, or for one that is on the list of projects. */
  stray: z.string().nullable(),
  definition: z.unknown(),
});

/**
 * Reads every definition, also those that are off. A row that makes no sense is a fault, never skipped in silence.
 *
 * @param watched Names of the projects that are watched.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readDefinitions(sql: postgres.Sql, watched: readonly string[]): Promise<Definitions> {
  try {
    const rows = await sql`
      select d.name,
             case when d.enabled
                   and d.project_name not in (select json_array_elements_text(${
      JSON.stringify(watched)
    }::text::json))
                   and not exists (select from public.monitored_projects m
                                   where m.name = d.project_name and not m.enabled)
                  then d.project_name end as stray,
             jsonb_build_object(
               'id', d.id, 'name', d.name, 'projectName', d.project_name, 'enabled', d.enabled,
               'description', d.description, 'query', d.query,
               'needs', coalesce(to_jsonb(regexp_split_to_array(d.needs, '\\s*,\\s*')), '[]'),
               'unit', d.unit, 'direction', d.direction, 'judgedBy', d.judged_by, 'warning', d.warning,
               'critical', d.critical, 'hysteresis', d.hysteresis, 'leastDifference', d.least_difference,
               'forMinutes', d.for_minutes, 'noData', d.no_data, 'intervalMinutes', d.interval_minutes,
               'timeoutSeconds', d.timeout_seconds) as definition
      from public.metric_definitions d
      order by d.name, d.project_name`;
    return sorted(z.array(definitionRow).parse([...rows]));
  } catch (error) {
    throw hubError(error, "read metric_definitions");
  }
}

function sorted(rows: readonly z.infer<typeof definitionRow>[]): Definitions {
  const definitions: MetricDefinition[] = [];
  const faults: string[] = [];
  for (const { name, stray, definition } of rows) {
    const parsed = metricDefinition.safeParse(definition);
    if (parsed.success) definitions.push(parsed.data);
    else {
      const wrong = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join(
        "; ",
      );
      faults.push(`Metric "${name}" is not asked: ${wrong}`);
    }
    if (stray !== null) faults.push(`Metric "${name}" is for project "${stray}", which is not watched`);
  }
  return { definitions, faults };
}

/** What the hub knows of one project's metrics. */
export interface ProjectMetrics {
  projectName: string;
  version: number;
  collections: MetricCollection[];
  states: MetricState[];
  incidents: OpenIncident[];
  histories: MetricHistory[];
  alertConfigs: AlertRoute[];
}

const projectMetrics = z.object({
  version: z.number(),
  collections: z.array(metricCollection),
  states: z.array(metricState),
  histories: z.array(metricHistory),
  incidents: z.array(z.object({
    id: z.string(),
    subjectKind,
    subjectId: z.string(),
    code: z.string(),
    severity,
    summary: z.string(),
    detail: incidentDetail,
    openedAt: z.number(),
  })),
  alertConfigs: z.array(alertRoute),
});

/**
 * Reads what judging a project's metrics needs, in one round trip.
 *
 * @param now To which "this hour of earlier weeks" refers, epoch milliseconds.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readProjectMetrics(
  sql: postgres.Sql,
  projectName: string,
  now: number,
): Promise<ProjectMetrics> {
  try {
    const [row] = await sql`
      with known as (select ${projectName}::text as project, ${iso(now)}::text::timestamptz as now)
      select jsonb_build_object(
        'version', coalesce((select p.version from public.project_state p where p.project_name = known.project), 0),
        'collections', (select coalesce(jsonb_agg(jsonb_build_object(
            'definitionId', c.metric_definition_id, 'projectName', c.project_name, 'status', c.status,
            'error', c.error, 'failures', c.failures, 'failingSince', monitoring.epoch_ms(c.failing_since),
            'askedAt', monitoring.epoch_ms(c.asked_at), 'tookMs', c.took_ms)), '[]')
          from public.metric_collections c where c.project_name = known.project),
        'states', (select coalesce(jsonb_agg(jsonb_build_object(
            'definitionId', s.metric_definition_id, 'series', s.series, 'labels', s.labels, 'value', s.value,
            'severity', s.severity, 'summary', s.summary, 'alarm', s.alarm,
            'warningSince', monitoring.epoch_ms(s.warning_since),
            'criticalSince', monitoring.epoch_ms(s.critical_since),
            'noDataSince', monitoring.epoch_ms(s.no_data_since),
            'recordedAt', monitoring.epoch_ms(s.recorded_at))), '[]')
          from public.metric_state s where s.project_name = known.project),
        'histories', (select coalesce(jsonb_agg(jsonb_build_object(
            'definitionId', h.id, 'labels', h.labels, 'weeks', h.weeks)), '[]')
          from (
            select d.id, w.labels, jsonb_agg(w.median) as weeks
            from public.metric_definitions d
            cross join generate_series(1, ${WEEKS}::integer) as back(weeks)
            cross join lateral (
              select s.labels, percentile_cont(0.5) within group (order by s.value) as median
              from public.system_metrics s
              where s.metric_name = d.name and s.project_name = known.project and s.value is not null
                and s.recorded_at between known.now - make_interval(weeks => back.weeks, mins => ${AROUND_MINUTES}::integer)
                                      and known.now - make_interval(weeks => back.weeks, mins => ${-AROUND_MINUTES}::integer)
              group by s.labels) as w
            where d.judged_by = 'own weeks' and coalesce(d.project_name, known.project) = known.project
            group by d.id, w.labels) as h),
        'incidents', (select coalesce(jsonb_agg(jsonb_build_object(
            'id', i.id, 'subjectKind', i.subject_kind, 'subjectId', i.subject_id, 'code', i.code,
            'severity', i.severity, 'summary', i.summary, 'detail', i.detail,
            'openedAt', monitoring.epoch_ms(i.opened_at)) order by i.opened_at, i.id), '[]')
          from public.incidents i
          -- a flapping incident is the alert policy's
          where i.project_name = known.project and i.subject_kind = 'metric' and i.resolved_at is null
            and i.code <> 'flapping'),
        'alertConfigs', (select coalesce(jsonb_agg(monitoring.alert_route_json(c) order by c.created_at, c.id), '[]')
          from public.alert_config c)) as known
      from known`;
    return { projectName, ...projectMetrics.parse(row?.known) };
  } catch (error) {
    throw hubError(error, `read the metrics of project "${projectName}"`);
  }
}

/** What a collection of one project records. */
export interface MetricRecording {
  observations: Observations;
  samples: readonly MetricSample[];
  collections: readonly MetricCollection[];
  states: readonly MetricState[];
  gone: readonly Pick<MetricState, "definitionId" | "series">[];
}

/**
 * Writes what one collection saw of one project, in one transaction.
 *
 * @param at When it was read, epoch milliseconds.
 * @throws {AppError} `conflict` when another caller recorded this project since it was read; `hub_unreachable` or
 *   `hub_failed` otherwise.
 */
export async function recordMetrics(
  sql: postgres.Sql,
  recording: MetricRecording,
  at: number,
): Promise<Recorded> {
  const { observations, samples, collections, states, gone } = recording;
  const payload = {
    recorded_at: iso(at),
    observations: toPayload(observations),
    samples: samples.map(({ metricName, ...sample }) => ({ metric_name: metricName, ...sample })),
    collections: collections.map((collection) => ({
      metric_definition_id: collection.definitionId,
      status: collection.status,
      error: collection.error,
      failures: collection.failures,
      failing_since: iso(collection.failingSince),
      asked_at: iso(collection.askedAt),
      took_ms: collection.tookMs,
    })),
    states: states.map((state) => ({
      metric_definition_id: state.definitionId,
      series: state.series,
      labels: state.labels,
      value: state.value,
      severity: state.severity,
      summary: state.summary,
      alarm: state.alarm,
      warning_since: iso(state.warningSince),
      critical_since: iso(state.criticalSince),
      no_data_since: iso(state.noDataSince),
      recorded_at: iso(state.recordedAt),
    })),
    gone: gone.map(({ definitionId, series }) => ({ metric_definition_id: definitionId, series })),
  };
  try {
    const [row] = await sql`select monitoring.record_metrics(${toJson(payload)}::text::jsonb) as recorded`;
    return toRecorded(row?.recorded);
  } catch (error) {
    throw hubError(error, `record the metrics of project "${observations.projectName}"`);
  }
}
