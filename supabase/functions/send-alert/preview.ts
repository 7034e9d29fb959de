/** A dry run: what would be sent. */
import type { PolicyDecision } from "../_shared/domain/policy.ts";
import { channels } from "../_shared/channels/mod.ts";
import { AppError } from "../_shared/errors.ts";
import { type Claim, previewDeliveries } from "../_shared/hub/deliveries.ts";
import { composeMessage } from "../_shared/rules/message.ts";
import type { SendAlertDeps } from "./deps.ts";
import { reportOf } from "./drain.ts";
import { decideTick } from "./policy.ts";
import { readChannels, resolveRows } from "./channel_report.ts";
import { missingRoutes } from "./default_routes.ts";
import { type DeliveryReport, type SendAlertSummary, summarise } from "./summary.ts";

/** Deliveries that a dry run shows. */
const SHOWN = 100;

/**
 * What would be sent: decided and claimed as ever, then taken back. Also how the channels are, what is wrong with what
 * people wrote, and the default routes that a real run would write.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function preview(deps: SendAlertDeps): Promise<SendAlertSummary> {
  const { targetKeys, faults } = await resolveRows(deps);
  const tick = await decideTick(deps, targetKeys);
  const claim = await claimAndTakeBack(deps, tick.decision);
  const reports = claim.deliveries.map((delivery): DeliveryReport => {
    const message = composeMessage({ ...delivery, now: deps.clock() });
    const rendered = delivery.rendered ?? channels[delivery.channel].render(message);
    return { ...reportOf(delivery), state: "due", text: rendered.plain };
  });
  return {
    ...summarise(reports),
    channels: await readChannels(deps),
    config_faults: [...tick.faults, ...faults],
    default_routes: await missingRoutes(deps),
  };
}

/** What another tick decided since is as good. */
async function claimAndTakeBack(deps: SendAlertDeps, decision: PolicyDecision): Promise<Claim> {
  try {
    return await previewDeliveries(deps.sql, decision, SHOWN);
  } catch (error) {
    if (!(error instanceof AppError && error.code === "conflict")) throw error;
    return await previewDeliveries(deps.sql, null, SHOWN);
  }
}
