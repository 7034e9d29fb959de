/** Which messages an incident owes the moment it opens or ends. */
import type { AlertRoute, NewsEvent } from "../domain/delivery.ts";
import type { Criticality, Severity } from "../domain/job.ts";
import type { OwedDelivery } from "../domain/observation.ts";
import { routeAlert, type RoutedAlert, routeNews } from "./routing.ts";

/** The severity of a job's incidents: as critical as the job, and important where nobody has said. */
export function severityOfJob(criticality: Criticality | null): Severity {
  return criticality ?? "important";
}

/** What {@link owedDeliveries} owes for. */
export interface OwedAlert extends RoutedAlert {
  event: NewsEvent;
}

/**
 * The deliveries that an incident owes. A job may ask for a row of `alert_config` by its name or channel; where that
 * names none, and where no row takes the alert, it is kept as unroutable instead of lost. Where rows take it but want
 * to hear nothing of this event, nothing is owed. Rows with one target owe it once.
 */
export function owedDeliveries(alert: OwedAlert, configs: readonly AlertRoute[]): OwedDelivery[] {
  if (alert.severity === "info") return [];
  if (routeAlert(alert, configs).length === 0) {
    return [{ state: "unroutable", lastError: noRowTakes(alert) }];
  }
  return routeNews(alert, configs).map((row) => ({
    state: "due",
    channel: row.channel,
    alertConfigId: row.id,
  }));
}

/** Why an alert is unroutable. */
export function noRowTakes({ severity, projectName }: Pick<OwedAlert, "severity" | "projectName">): string {
  return `No enabled row of alert_config takes severity "${severity}" of project "${projectName}"`;
}
