/** Which messages an incident owes the moment it opens or ends. */
import type { Criticality, Severity } from "../domain/job.ts";
import type { OwedDelivery } from "../domain/observation.ts";
import type { AlertRoute } from "../domain/delivery.ts";
import { routeAlert } from "./routing.ts";

/** The severity of a job's incidents: as critical as the job, and important where nobody has said. */
export function severityOfJob(criticality: Criticality | null): Severity {
  return criticality ?? "important";
}

/**
 * The deliveries that an incident owes. A job may ask for a row of `alert_config` by its name or channel; where that
 * names none, and where no row takes the severity, the alert is kept as unroutable instead of lost.
 */
export function owedDeliveries(
  severity: Severity,
  alertChannel: string | null,
  configs: readonly AlertRoute[],
): OwedDelivery[] {
  if (severity === "info") return [];
  const asked = configs.filter((row) =>
    row.enabled && (row.name === alertChannel || row.channel === alertChannel)
  );
  const routes = alertChannel !== null && asked.length > 0 ? asked : routeAlert(severity, configs);
  if (routes.length === 0) {
    return [{
      state: "unroutable",
      lastError: `No enabled row of alert_config takes severity "${severity}"`,
    }];
  }
  return routes.map((row) => ({ state: "due", channel: row.channel, alertConfigId: row.id }));
}
