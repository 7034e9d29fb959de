/** A second look for deliveries that no row of `alert_config` took, or whose row's channel is dead. */
import type { AlertRoute, DeliveryState, NewsEvent, UnroutableDelivery } from "../domain/delivery.ts";
import { noRowTakes } from "./owed_deliveries.ts";
import {
  hearsOf,
  onePerTarget,
  routeAlert,
  type RoutedAlert,
  sharesTarget,
  takes,
  takesProject,
  worstSeverity,
} from "./routing.ts";

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
  const { event, incidents } = delivery;
  if (event === "report") return { kind: "cancel", reason: "A report goes to those who subscribed to it" };
  if (event === "acknowledged") {
    return { kind: "cancel", reason: "Only the row that told of the incident can take its acknowledgement" };
  }
  const open = incidents.some((incident) => incident.resolvedAt === null);
  if (event === "resolved" ? !delivery.toldBefore : !open) {
    return {
      kind: "cancel",
      reason: "The incident ended before any enabled row of alert_config took this alert",
    };
  }
  const alert: RoutedAlert = {
    severity: worstSeverity(incidents.map((incident) => incident.severity)),
    projectName: incidents[0]?.projectName ?? "",
    alertChannel: delivery.alertChannel,
  };
  const rows = routeAlert(alert, configs);
  if (rows.length === 0) return { kind: "keep", reason: noRowTakes(alert) };
  const fitting = onePerTarget(rows.filter((row) => event === "test" || hearsOf(row, event)));
  if (fitting.length === 0) {
    return { kind: "cancel", reason: `No row of alert_config that takes this alert hears of "${event}"` };
  }
  const states = new Map(delivery.covered.map((other) => [other.alertConfigId, other.state]));
  // whichever of its rows told a target, it is told
  const covered = (row: AlertRoute) => {
    const known = configs.filter((other) => sharesTarget(other, row)).flatMap(({ id }) =>
      states.get(id) ?? []
    );
    return known.find(isTold) ?? known[0];
  };
  // what a row failed before it was set right is worth another try, unless somebody else has told it
  const told = fitting.some((row) => isTold(covered(row)));
  const free = fitting.filter((row) =>
    covered(row) === undefined || (!told && !isTold(covered(row)) && row.dead === null)
  );
  if (free.length > 0) return { kind: "route", alertConfigIds: free.map(({ id }) => id) };
  if (told) {
    return { kind: "cancel", reason: "Another row of alert_config tells the same" };
  }
  return {
    kind: "keep",
    reason: "Every enabled row of alert_config that takes this alert has failed to deliver it",
  };
}

/**
 * The row that takes over where another one's channel is dead: the first by priority of those that take the alert, and
 * where there is none, of those that take its project at all, because an alert in the wrong place is better than none.
 *
 * @param usable Whether a row's channel works.
 */
export function fallbackRow(
  alert: RoutedAlert & { event: NewsEvent },
  rows: readonly AlertRoute[],
  usable: (row: AlertRoute) => boolean,
): AlertRoute | null {
  const candidates = rows
    .filter((row) =>
      row.enabled && usable(row) && hearsOf(row, alert.event) && takesProject(row, alert.projectName)
    )
    .toSorted((a, b) => a.priority - b.priority);
  return candidates.find((row) => takes(row, alert)) ?? candidates[0] ?? null;
}

function isTold(state: DeliveryState | undefined): boolean {
  return state === "due" || state === "sent";
}
