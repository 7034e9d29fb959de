/** Deliveries that no row of `alert_config` took: a second look each run. */
import type { AlertRoute, UnroutableDelivery } from "../_shared/domain/delivery.ts";
import {
  cancelDelivery,
  markUnroutable,
  readAlertConfigs,
  readUnroutable,
  routeDelivery,
} from "../_shared/hub/deliveries.ts";
import { reroute } from "../_shared/rules/reroute.ts";
import type { SendAlertDeps } from "./deps.ts";
import { type DeliveryReport, toldIncidents } from "./summary.ts";

/** Unroutable deliveries looked at in one run. */
const UNROUTABLE_LIMIT = 500;

/** Finds rows of `alert_config` for what no row took before; what still has none is reported. */
export async function routeUnroutable(deps: SendAlertDeps, reports: DeliveryReport[]): Promise<void> {
  await markUnroutable(deps.sql);
  const { deliveries, faults } = await readUnroutable(deps.sql, UNROUTABLE_LIMIT);
  for (const fault of faults) deps.log.error("unroutable delivery cannot be read", { fault });
  if (deliveries.length === 0) return;
  const { configs, faults: badRows } = await readAlertConfigs(deps.sql);
  for (const fault of badRows) deps.log.error("row of alert_config cannot be read", { fault });
  for (const delivery of deliveries) {
    const report = await rerouteOne(deps, delivery, configs);
    if (report !== null) reports.push(report);
  }
}

/** Routed, it is claimed like any other and reported then. */
async function rerouteOne(
  deps: SendAlertDeps,
  delivery: UnroutableDelivery,
  configs: readonly AlertRoute[],
): Promise<DeliveryReport | null> {
  const { id, channel, event } = delivery;
  const decision = reroute(delivery, configs);
  if (decision.kind === "route") {
    const rows = await routeDelivery(deps.sql, id, decision.alertConfigIds);
    deps.log.info("delivery routed", { delivery_id: id, rows });
    return null;
  }
  const report = { id, alert_config_id: null, channel, event, incidents: toldIncidents(delivery.incidents) };
  const { reason } = decision;
  if (decision.kind === "cancel") {
    await cancelDelivery(deps.sql, id, reason);
    deps.log.info("delivery cancelled", { delivery_id: id, reason });
    return { ...report, state: "cancelled", error: reason };
  }
  deps.log.warn("delivery unroutable", { delivery_id: id, reason });
  return { ...report, state: "unroutable", error: delivery.lastError ?? reason };
}
