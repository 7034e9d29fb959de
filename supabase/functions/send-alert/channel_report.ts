/** The rows of `alert_config` as they are: where their references lead, whether what is sent arrives, what is wrong. */
import type { AlertConfigRow } from "../_shared/domain/delivery.ts";
import { readAlertConfigs } from "../_shared/hub/deliveries.ts";
import { nameOfRow } from "../_shared/rules/routing.ts";
import type { SendAlertDeps } from "./deps.ts";
import { type ResolvedTarget, resolveTarget } from "./send.ts";
import type { ChannelReport } from "./summary.ts";

/** The enabled rows, their references followed. */
export interface ResolvedRows {
  /** By id of the row, for {@link AlertConfigRow.targetKey}: what the references lead to, not how they are written. */
  targetKeys: Map<string, string>;
  /** What is wrong with rows, a sentence each. */
  faults: string[];
}

/**
 * Reads the rows and follows the references of those that are enabled.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function resolveRows(deps: SendAlertDeps): Promise<ResolvedRows> {
  const { configs, faults } = await readAlertConfigs(deps.sql);
  const rows = configs.filter((row) => row.enabled);
  const resolved = await Promise.all(
    rows.map(async (row) => ({ row, target: await resolveTarget(row, deps) })),
  );
  const keys = await Promise.all(resolved.map(({ row, target }) => keyOf(row, target)));
  return {
    targetKeys: new Map(keys.flatMap((key) => key === null ? [] : [key])),
    faults: [
      ...faults,
      ...resolved.flatMap(({ row, target }) =>
        target.resolved ? [] : [`Row ${nameOfRow(row)} of alert_config: ${target.error}`]
      ),
    ],
  };
}

/** A digest of what identifies the place: two bots in one chat are one target. */
async function keyOf(row: AlertConfigRow, target: ResolvedTarget): Promise<[string, string] | null> {
  if (!target.resolved) return null;
  const { webhookUrl, chatId, threadId, recipients, apiKey } = target.written;
  const place = [
    row.channel,
    webhookUrl,
    chatId,
    threadId,
    recipients?.split(/[,;\n]/).map((one) => one.trim().toLowerCase()).filter(Boolean).sort(),
    row.channel === "pagerduty" ? apiKey : undefined,
  ];
  const text = JSON.stringify(place.map((part) => part ?? null));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [row.id, [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("")];
}

/**
 * How the channels of the enabled rows are now.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readChannels({ sql }: Pick<SendAlertDeps, "sql">): Promise<ChannelReport[]> {
  const { configs } = await readAlertConfigs(sql);
  return configs.filter((row) => row.enabled).map(({ id, name, channel, dead }) => ({
    ...{ alert_config_id: id, name, channel, status: dead === null ? "healthy" : "dead" },
    ...dead === null ? {} : { reason: dead.reason, since: new Date(dead.since).toISOString() },
  }));
}
