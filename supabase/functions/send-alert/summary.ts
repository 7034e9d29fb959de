/** What `send-alert` answers. */
import type { Incident } from "../_shared/domain/incident.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";

/** One delivery of the answer. */
export interface DeliveryReport {
  /** Id in `alert_deliveries`; `null` for a test, which is not kept. */
  id: string | null;
  alert_config_id: string | null;
  channel: string | null;
  event: string;
  state: "due" | "sent" | "failed" | "unroutable" | "cancelled";
  error?: string;
  /** What a person should know although it got through. */
  note?: string;
  /** What would be sent, in plain text (dry run only). */
  text?: string;
  incidents: { id: string; project: string; subject: string; code: string }[];
}

/** A row of `alert_config` in the answer. */
export interface ChannelReport {
  alert_config_id: string;
  name: string | null;
  channel: string;
  status: "healthy" | "dead";
  /** Why it is dead. */
  reason?: string;
  /** ISO 8601. */
  since?: string;
}

export interface SendAlertSummary extends Record<string, unknown> {
  sent: number;
  /** Did not get through and are tried again. */
  retried: number;
  failed: number;
  /** Kept until a row of `alert_config` takes them. */
  unroutable: number;
  /** Could be sent now, but for the run's limits or a target that rests: the next run's. */
  left?: number;
  deliveries: DeliveryReport[];
  /** Enabled rows of `alert_config`. */
  channels?: ChannelReport[];
  /** What is wrong with what people wrote, a sentence each. */
  config_faults?: string[];
  /** The rows that a run would write into an empty `alert_config` (dry run only). */
  default_routes?: { name: string; channel: string; criticality: string }[];
}

/** Counts the reports. A delivery that was tried more than once is told once, as it ended. */
export function summarise(reports: readonly DeliveryReport[]): SendAlertSummary {
  const last = new Map<string, DeliveryReport>();
  for (const [index, report] of reports.entries()) last.set(report.id ?? `test ${index}`, report);
  const deliveries = [...last.values()];
  const count = (state: string) => deliveries.filter((report) => report.state === state).length;
  return {
    sent: count("sent"),
    retried: count("due"),
    failed: count("failed"),
    unroutable: count("unroutable"),
    deliveries,
  };
}

/** The incidents of a delivery, a line each. */
export function toldIncidents(incidents: readonly Incident[]): DeliveryReport["incidents"] {
  return incidents.map((incident) => ({
    id: incident.id,
    project: incident.projectName,
    subject: incident.job?.jobName ?? incident.subjectId,
    code: incident.code,
  }));
}

/** What the log of invocations keeps: complete when everything that was owed got through. */
export function sendAlertEnding(
  { sent, retried, failed, unroutable, left = 0, deliveries, config_faults = [] }: SendAlertSummary,
): CheckRunEnd {
  const missing = retried + failed + unroutable + left;
  return {
    status: missing === 0 ? "complete" : sent > 0 ? "partial" : "failed",
    counts: { sent, retried, failed, unroutable, left, config_faults: config_faults.length },
    error: deliveries.find(({ state, error }) => error !== undefined && state !== "cancelled")?.error ?? null,
  };
}
