/** A dry run: what would be sent. */
import { channels } from "../_shared/channels/mod.ts";
import { AppError } from "../_shared/errors.ts";
import { type Claim, previewDeliveries } from "../_shared/hub/deliveries.ts";
import { composeMessage } from "../_shared/rules/message.ts";
import type { SendAlertDeps } from "./deps.ts";
import { reportOf } from "./drain.ts";
import { decideTick } from "./policy.ts";
import type { DeliveryReport } from "./summary.ts";

/** Deliveries that a dry run shows. */
const SHOWN = 100;

/**
 * What would be sent: decided and claimed as ever, then taken back.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function preview(deps: SendAlertDeps): Promise<DeliveryReport[]> {
  const claim = await claimAndTakeBack(deps);
  return claim.deliveries.map((delivery) => {
    const message = composeMessage({ ...delivery, now: deps.clock() });
    const rendered = delivery.rendered ?? channels[delivery.channel].render(message);
    return { ...reportOf(delivery), state: "due", text: rendered.plain };
  });
}

/** What another tick decided since is as good. */
async function claimAndTakeBack(deps: SendAlertDeps): Promise<Claim> {
  const { decision } = await decideTick(deps);
  try {
    return await previewDeliveries(deps.sql, decision, SHOWN);
  } catch (error) {
    if (!(error instanceof AppError && error.code === "conflict")) throw error;
    return await previewDeliveries(deps.sql, null, SHOWN);
  }
}
