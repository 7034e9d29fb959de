/** How each row of `alert_config` is, for the answer: whether what is sent arrives, and what is wrong with the row. */
import type { AlertConfigRow } from "../_shared/domain/delivery.ts";
import { readAlertConfigs } from "../_shared/hub/deliveries.ts";
import { nameOfRow } from "../_shared/rules/routing.ts";
import type { SendAlertDeps } from "./deps.ts";
import { resolveTarget } from "./send.ts";
import type { ChannelReport } from "./summary.ts";

/**
 * Looks at every enabled row: its channel's state, and whether its references lead to something usable.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readChannels(
  deps: SendAlertDeps,
): Promise<{ channels: ChannelReport[]; faults: string[] }> {
  const { configs, faults } = await readAlertConfigs(deps.sql);
  const enabled = configs.filter((row) => row.enabled);
  const checked = await Promise.all(enabled.map((row) => reportOn(row, deps)));
  return {
    channels: checked.map(({ report }) => report),
    faults: [...faults, ...checked.flatMap(({ fault }) => fault ?? [])],
  };
}

async function reportOn(
  row: AlertConfigRow,
  deps: SendAlertDeps,
): Promise<{ report: ChannelReport; fault: string | null }> {
  const { id, name, channel, dead } = row;
  const target = await resolveTarget(row, deps);
  return {
    report: {
      ...{ alert_config_id: id, name, channel, status: dead === null ? "healthy" : "dead" },
      ...dead === null ? {} : { reason: dead.reason, since: new Date(dead.since).toISOString() },
    },
    fault: target.resolved ? null : `Row ${nameOfRow(row)} of alert_config: ${target.error}`,
  };
}
