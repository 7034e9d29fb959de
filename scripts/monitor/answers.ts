/** What the functions answer, checked at the border. Held against the functions' own types by the compiler. */
import { z } from "zod";
import type { CheckReport } from "../../supabase/functions/check-job-health/run.ts";
import type { DiscoverReport } from "../../supabase/functions/discover-jobs/run.ts";
import type { CollectionReport } from "../../supabase/functions/collect-metrics/run.ts";
import type { ReportAnswer as SentReport } from "../../supabase/functions/send-report/run.ts";
import type { DeliveryReport } from "../../supabase/functions/send-alert/summary.ts";
import { jobStatus } from "../../supabase/functions/_shared/domain/job.ts";
import { metricAlarm, metricSeverity } from "../../supabase/functions/_shared/domain/metric.ts";

const count = z.number().int().nonnegative();
const counts = { jobs: count, healthy: count, failed: count, missed: count, unknown: count, paused: count };
const fault = z.object({ code: z.string(), message: z.string() });

/** Every answer that is not an error begins so. */
const answered = { ok: z.literal(true), request_id: z.string() };

const projectAudit = z.object({
  project: z.string(),
  status: z.enum(["ok", "error"]),
  /** Everything that could not be read. */
  errors: z.array(fault),
  jobs: count,
  edge_functions: count,
  changes: z.array(z.object({ job: z.string(), change: z.string() })),
  /** What is doubtful about the HTTP calls in commands. */
  warnings: z.array(z.object({ job: z.string(), code: z.string(), warning: z.string() })),
});
/** What an audit found in one project. */
export type ProjectAudit = z.infer<typeof projectAudit>;

/** `discover-jobs`. */
export const auditReport = z.object({
  ...answered,
  discovered_at: z.string(),
  dry_run: z.boolean(),
  jobs: count,
  edge_functions: count,
  changes: count,
  errors: count,
  projects: z.array(projectAudit),
}) satisfies z.ZodType<DiscoverReport>;
/** What an audit found. */
export type AuditReport = z.infer<typeof auditReport>;

const jobReport = z.object({
  id: z.string(),
  job_name: z.string(),
  job_user: z.string().nullable(),
  schedule: z.string().nullable(),
  criticality: z.string().nullable(),
  status: jobStatus,
  verdict: z.string().nullable(),
  summary: z.string(),
  last_run_at: z.string().nullable(),
});

const httpHealth = z.object({
  /** Requests that wait. */
  queue: count.nullable(),
  worker_up: z.boolean().nullable(),
  /** Of the last hour. */
  answers: count.nullable(),
  failed: count.nullable(),
  timed_out: count.nullable(),
  /** 0 to 1. */
  failure_rate: z.number().nullable(),
  calls_kept: z.boolean(),
  strangers: z.array(z.string()),
  errors: z.array(z.string()),
});

const projectHealth = z.object({
  project: z.string(),
  status: z.enum(["ok", "error"]),
  /** Why it could not be read. */
  error: fault.exactOptional(),
  ...counts,
  runs_logged: count,
  /** What pg_net does there; absent: there is none. */
  http: httpHealth.exactOptional(),
  incidents_opened: count,
  incidents_resolved: count,
  /** What is different about its jobs since the last look. */
  changes: z.array(z.object({
    job: z.string(),
    change: z.string(),
    old_value: z.string().nullable(),
    new_value: z.string().nullable(),
  })),
  details: z.array(jobReport),
});
/** What a check found in one project. */
export type ProjectHealth = z.infer<typeof projectHealth>;

/** `check-job-health`. */
export const healthReport = z.object({
  ...answered,
  checked_at: z.string(),
  dry_run: z.boolean(),
  ...counts,
  errors: count,
  incidents_opened: count,
  incidents_resolved: count,
  projects: z.array(projectHealth),
}) satisfies z.ZodType<CheckReport>;
/** What a check found. */
export type HealthReport = z.infer<typeof healthReport>;

const deliveryReport = z.object({
  id: z.string().nullable(),
  alert_config_id: z.string().nullable(),
  channel: z.string().nullable(),
  event: z.string(),
  state: z.enum(["due", "sent", "failed", "unroutable", "cancelled"]),
  error: z.string().exactOptional(),
  note: z.string().exactOptional(),
  /** What would be sent; of a dry run only. */
  text: z.string().exactOptional(),
  incidents: z.array(
    z.object({ id: z.string(), project: z.string(), subject: z.string(), code: z.string() }),
  ),
}) satisfies z.ZodType<DeliveryReport>;

/** `send-alert`. */
export const deliveryAnswer = z.object({
  ...answered,
  sent: count,
  retried: count,
  failed: count,
  unroutable: count,
  deliveries: z.array(deliveryReport),
  /** Enabled rows of `alert_config`; not of a test. */
  channels: z.array(z.object({
    alert_config_id: z.string(),
    name: z.string().nullable(),
    channel: z.string(),
    status: z.enum(["healthy", "dead"]),
    reason: z.string().exactOptional(),
    since: z.string().exactOptional(),
  })).exactOptional(),
  /** What is wrong with what people wrote, a sentence each; not of a test. */
  config_faults: z.array(z.string()).exactOptional(),
  /** What an empty `alert_config` would be filled with; of a dry run only. */
  default_routes: z.array(z.object({ name: z.string(), channel: z.string(), criticality: z.string() }))
    .exactOptional(),
});
/** What became of alerts. */
export type DeliveryAnswer = z.infer<typeof deliveryAnswer>;

const metricOutcome = z.object({
  metric: z.string(),
  unit: z.string().nullable(),
  status: z.enum(["ok", "failed", "not_applicable", "not_asked"]),
  error: z.string().exactOptional(),
  took_ms: z.number().nullable(),
  rows: z.array(z.object({
    labels: z.record(z.string(), z.string()),
    value: z.number().nullable(),
    severity: metricSeverity,
    alarm: metricAlarm,
    summary: z.string().nullable(),
  })),
});

/** `collect-metrics`. */
export const collectionAnswer = z.object({
  ...answered,
  collected_at: z.string(),
  dry_run: z.boolean(),
  /** How many numbers mean what. */
  numbers: z.object({ ok: count, warning: count, critical: count, unknown: count }),
  failed: count,
  not_asked: count,
  errors: count,
  faults: z.array(z.string()),
  incidents_opened: count,
  incidents_resolved: count,
  projects: z.array(z.object({
    project: z.string(),
    status: z.enum(["ok", "error"]),
    error: fault.exactOptional(),
    incidents_opened: count,
    incidents_resolved: count,
    metrics: z.array(metricOutcome),
  })),
}) satisfies z.ZodType<CollectionReport>;
/** What projects answered for their metrics. */
export type CollectionAnswer = z.infer<typeof collectionAnswer>;

/** `send-report`. */
export const reportAnswer = z.object({
  ...answered,
  report: z.string(),
  /** First and last day that it tells of. */
  from: z.string(),
  to: z.string(),
  dry_run: z.boolean(),
  queued: count,
  recipients: z.array(z.object({
    subscription_id: z.string(),
    alert_config_id: z.string(),
    name: z.string().nullable(),
    channel: z.string(),
    result: z.enum(["queued", "had", "would be queued"]),
    state: z.string().nullable(),
  })),
  /** Only of a dry run. */
  text: z.string().exactOptional(),
  mail: z.object({ subject: z.string(), html: z.string(), text: z.string() }).exactOptional(),
}) satisfies z.ZodType<SentReport>;
/** A report, or who gets it. */
export type ReportAnswer = z.infer<typeof reportAnswer>;

/** `export-runs`, as far as the doctor asks: who is told of runs. */
export const exportsAnswer = z.object({
  ...answered,
  exports: z.array(z.object({ exporter: z.string() })),
});

/** What the functions answer instead when they refuse or fail. */
export const functionError = z.object({
  ok: z.literal(false),
  request_id: z.string(),
  error: z.object({ code: z.string(), message: z.string(), faults: z.array(z.string()).optional() }),
});

/** What hosted Supabase answers when the function itself could not. */
export const platformError = z.object({ code: z.string(), message: z.string() });
