/** A second look for deliveries that no row of `alert_config` took when they were due. */
import type { AlertRoute, DeliveryState, UnroutableDelivery } from "../domain/delivery.ts";
import { owedDeliveries } from "./owed_deliveries.ts";
import { worstSeverity } from "./routing.ts";

/** What becomes of an unroutable delivery. */
export type Rerouting =
  | { kind: "route"; alertConfigIds: string[] }
  | { kind: "cancel"; reason: string }
  | { kind: "keep"; reason: string };

/**
 * Looks again for rows that take a delivery. News of a beginning is owed while an incident is open, news of an end
 * where somebody was told of the beginning. Rows that have a delivery of the same news already are passed over.
 */
export function reroute(delivery: UnroutableDelivery, configs: readonly AlertRoute[]): Rerouting {
  const open = delivery.incidents.some((incident) => incident.resolvedAt === null);
  if (delivery.event === "resolved" ? !delivery.toldBefore : !open) {
    return {
      kind: "cancel",
      reason: "The incident ended before any enabled row of alert_config took this alert",
    };
  }
  const severity = worstSeverity(delivery.incidents.map((incident) => incident.severity));
  const fitting = owedDeliveries(severity, delivery.alertChannel, configs)
    .flatMap((owed) => owed.state === "due" ? [owed.alertConfigId] : []);
  if (fitting.length === 0) {
    return { kind: "keep", reason: `No enabled row of alert_config takes severity "${severity}"` };
  }
  const covered = new Map(delivery.covered.map((other) => [other.alertConfigId, other.state]));
  const free = fitting.filter((id) => !covered.has(id));
  if (free.length > 0) return { kind: "route", alertConfigIds: free };
  if (fitting.some((id) => isTold(covered.get(id)))) {
    return { kind: "cancel", reason: "Another row of alert_config tells the same" };
  }
  return {
    kind: "keep",
    reason: "Every enabled row of alert_config that takes this alert has failed to deliver it",
  };
}

function isTold(state: DeliveryState | undefined): boolean {
  return state === "due" || state === "sent";
}
