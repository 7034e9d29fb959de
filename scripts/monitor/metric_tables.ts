/** What the command line reads of metrics from the hub's tables. Names are the columns'; instants are ISO 8601 text. */
import { z } from "zod";
import { metricAlarm, metricSeverity } from "../../supabase/functions/_shared/domain/metric.ts";
import type { Hub } from "./hub_client.ts";

const text = z.string().nullable();
const number = z.number().nullable();
const instant = z.date().transform((date) => date.toISOString());

/** Hours that {@link Metric.history} covers, an average each. */
const HISTORY_HOURS = 24;

const metricRow = z.object({
  metric_name: z.string(),
  project_name: z.string(),
  /** `{}` for a metric without. */
  labels: z.record(z.string(), z.string()),
  unit: text,
  direction: z.enum(["up", "down", "both"]),
  judged_by: z.enum(["value", "own weeks"]),
  warning: number,
  critical: number,
  /** How its query went the last time. */
  status: z.enum(["ok", "failed", "not_applicable", "not_asked"]),
  /** Why there is no number. */
  error: text,
  asked_at: instant.nullable(),
  value: number,
  severity: metricSeverity,
  severity_since: instant.nullable(),
  summary: text,
  /** What has lasted long enough to alert. */
  alarm: metricAlarm,
  /** When the value was read; `null`: there never was one. */
  recorded_at: instant.nullable(),
  /** Averages by hour, oldest first; `null` where nothing was recorded. */
  history: z.array(number),
});
/** The latest number of a series, or that its metric has none. */
export type Metric = z.infer<typeof metricRow>;

/** Which metrics. */
export interface MetricFilter {
  project?: string | undefined;
  name?: string | undefined;
  /** Default `applicable`; `all` adds those whose tables a project lacks. */
  which?: "applicable" | "all";
}

/** The latest numbers of every metric that is on, the gravest first, then by project and name. */
export function readMetrics(
  hub: Hub,
  { project, name, which = "applicable" }: MetricFilter = {},
): Promise<Metric[]> {
  return hub.rows("read the metrics", metricRow, (sql) =>
    sql`
      with hourly as (
        select project_name, metric_name, labels,
               least(${HISTORY_HOURS}::integer - 1,
                     floor(extract(epoch from recorded_at - now() + make_interval(hours => ${HISTORY_HOURS}::integer)) / 3600)
                    )::integer as hour,
               avg(value) as value
        from public.system_metrics
        where recorded_at > now() - make_interval(hours => ${HISTORY_HOURS}::integer) and value is not null
          and (${project ?? null}::text is null or project_name = ${project ?? null})
          and (${name ?? null}::text is null or metric_name = ${name ?? null})
        group by 1, 2, 3, 4
      ), history as (
        select project_name, metric_name, labels, jsonb_object_agg(hour, value) as hours
        from hourly group by 1, 2, 3
      )
      select d.name as metric_name, c.project_name, coalesce(s.labels, '{}') as labels, d.unit, d.direction, d.judged_by,
             d.warning, d.critical, c.status, c.error, c.asked_at, s.value,
             l.severity, s.severity_since,
             case when l.stale then 'not read for three intervals and more' || coalesce('; then: ' || s.summary, '')
                  else coalesce(s.summary, case when c.status = 'ok' then 'nothing to report' end) end as summary,
             coalesce(s.alarm, 'none') as alarm, s.recorded_at,
             (select jsonb_agg(h.hours -> hour::text order by hour)
              from generate_series(0, ${HISTORY_HOURS}::integer - 1) as hour) as history
      from public.metric_collections c
      join public.metric_definitions d on d.id = c.metric_definition_id
      left join public.metric_state s
        on s.metric_definition_id = c.metric_definition_id and s.project_name = c.project_name
      cross join lateral (
        select coalesce(s.recorded_at, c.asked_at) < now() - make_interval(mins => 15 + 3 * d.interval_minutes) as stale
      ) as age
      cross join lateral (
        -- what nobody has read for long is not known to be well
        select coalesce(age.stale, false) as stale,
               case when age.stale then 'unknown'
                    else coalesce(s.severity, case when c.status = 'ok' then 'ok' else 'unknown' end) end as severity
      ) as l
      left join history h
        on h.project_name = c.project_name and h.metric_name = d.name and h.labels = s.labels
      where d.enabled
        -- a definition of the project itself comes before the one for every project
        and not exists (select from public.metric_definitions own
                        where own.name = d.name and own.project_name = c.project_name and own.id <> d.id)
        and (${which === "all"} or c.status <> 'not_applicable')
        and (${project ?? null}::text is null or c.project_name = ${project ?? null})
        and (${name ?? null}::text is null or d.name = ${name ?? null})
      order by array_position('{critical,warning,unknown,ok}', l.severity), c.project_name, d.name, s.series`);
}

const nameRow = z.object({ name: z.string() });

/** Names of all definitions, also of those that are off. */
export async function readMetricNames(hub: Hub): Promise<string[]> {
  const rows = await hub.rows(
    "read the metrics' definitions",
    nameRow,
    (sql) => sql`select distinct name from public.metric_definitions order by name`,
  );
  return rows.map(({ name }) => name);
}
