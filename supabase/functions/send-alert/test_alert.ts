/** A test alert: straight to the channel, past the outbox. */
import { channels } from "../_shared/channels/mod.ts";
import type { AlertConfigRow } from "../_shared/domain/delivery.ts";
import { AppError } from "../_shared/errors.ts";
import { readAlertConfigs } from "../_shared/hub/deliveries.ts";
import { noteChannelSuccess } from "../_shared/hub/policy.ts";
import { composeMessage } from "../_shared/rules/message.ts";
import { nameOfRow } from "../_shared/rules/routing.ts";
import type { SendAlertDeps } from "./deps.ts";
import type { SendAlertInput } from "./input.ts";
import { send } from "./send.ts";
import type { DeliveryReport } from "./summary.ts";

/**
 * Sends a test alert through every enabled row of `alert_config` with that channel; one that is named by its id is
 * tested even while it is disabled.
 *
 * @throws {AppError} `not_found` where there is no such row; `hub_unreachable` or `hub_failed`.
 */
export async function sendTests(
  test: NonNullable<SendAlertInput["test"]>,
  deps: SendAlertDeps,
): Promise<DeliveryReport[]> {
  const { configs } = await readAlertConfigs(deps.sql);
  const rows = configs.filter((row) =>
    row.channel === test.channel &&
    (test.alert_config_id === undefined ? row.enabled : row.id === test.alert_config_id)
  );
  if (rows.length === 0) {
    const which = test.alert_config_id === undefined ? "enabled row" : `row "${test.alert_config_id}"`;
    throw new AppError(
      "not_found",
      `Cannot send a test alert: alert_config has no ${which} with channel "${test.channel}"`,
    );
  }
  return await Promise.all(rows.map((row) => sendTest(row, deps)));
}

async function sendTest(row: AlertConfigRow, deps: SendAlertDeps): Promise<DeliveryReport> {
  const notes: string[] = [];
  const result = await send(
    {
      id: crypto.randomUUID(),
      channel: row.channel,
      target: row.target,
      rendered: null,
      render: () =>
        channels[row.channel].render(composeMessage({
          event: "test",
          incidents: [],
          now: deps.clock(),
          note: `row ${nameOfRow(row)} of alert_config leads here`,
        })),
      store: (rendered) => Promise.resolve(rendered),
      inTime: () => true,
    },
    deps,
    (note) => notes.push(note),
  );
  if (result.kind === "sent") await noteChannelSuccess(deps.sql, row.id);
  deps.log.info("test alert", { channel: row.channel, alert_config_id: row.id, result: result.kind });
  return {
    id: null,
    alert_config_id: row.id,
    channel: row.channel,
    event: "test",
    // nobody tries a test again
    state: result.kind === "sent" ? "sent" : "failed",
    ..."error" in result ? { error: result.error } : {},
    ...notes.length > 0 ? { note: notes.join("; ") } : {},
    incidents: [],
  };
}
