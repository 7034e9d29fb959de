/** A dry run: what would be sent. */
import { channels } from "../_shared/channels/mod.ts";
import { claimDeliveries } from "../_shared/hub/deliveries.ts";
import type { Log } from "../_shared/log.ts";
import { composeMessage } from "../_shared/rules/message.ts";
import type { SendAlertDeps } from "./deps.ts";
import { reportOf } from "./drain.ts";
import { tickPolicy } from "./policy.ts";
import { readChannels, resolveRows } from "./channel_report.ts";
import { missingRoutes } from "./default_routes.ts";
import { type DeliveryReport, type SendAlertSummary, summarise } from "./summary.ts";

/** What is taken back did not happen. */
const SILENT: Log = { info: () => {}, warn: () => {}, error: () => {}, with: () => SILENT };

/**
 * What would be sent: decided and claimed as ever, then taken back. Also how the channels are, what is wrong with what
 * people wrote, and the default routes that a real run would write.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function preview(deps: SendAlertDeps): Promise<SendAlertSummary> {
  const { targetKeys, faults } = await resolveRows(deps);
  const reports: DeliveryReport[] = [];
  const config_faults: string[] = [];
  const taken = Symbol("taken back");
  await deps.sql.begin(async (sql) => {
    config_faults.push(...await tickPolicy({ ...deps, sql, log: SILENT }, targetKeys), ...faults);
    const claim = await claimDeliveries(sql, {
      limit: 100,
      leaseSeconds: 0,
    });
    for (const delivery of claim.deliveries) {
      const message = composeMessage({ ...delivery, now: deps.clock() });
      const rendered = delivery.rendered ?? channels[delivery.channel].render(message);
      reports.push({ ...reportOf(delivery), state: "due", text: rendered.plain });
    }
    throw taken;
  }).catch((error: unknown) => {
    if (error !== taken) throw error;
  });
  return {
    ...summarise(reports),
    channels: await readChannels(deps),
    config_faults,
    default_routes: await missingRoutes(deps),
  };
}
