/** Where alerts go when nobody has said so, by the secrets that the function has. */
import { ensureDefaultAlertConfig } from "../_shared/hub/default_routes.ts";
import { readAlertConfigs } from "../_shared/hub/deliveries.ts";
import { type DefaultAlertConfig, defaultAlertConfigs } from "../_shared/rules/default_routes.ts";
import type { SendAlertDeps } from "./deps.ts";

/**
 * Fills an empty `alert_config` with default rows.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function applyDefaultRoutes({ sql, config, log }: SendAlertDeps): Promise<void> {
  const rows = defaultsOf(config);
  const inserted = await ensureDefaultAlertConfig(sql, rows);
  if (inserted > 0) {
    log.info("default routes written to alert_config", { rows: rows.map(({ name }) => name) });
  }
}

/**
 * The default rows that a run would write now: none where `alert_config` has a row.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function missingRoutes(
  { sql, config }: SendAlertDeps,
): Promise<Pick<DefaultAlertConfig, "name" | "channel" | "criticality">[]> {
  const { configs, faults } = await readAlertConfigs(sql);
  if (configs.length + faults.length > 0) return [];
  return defaultsOf(config).map(({ name, channel, criticality }) => ({ name, channel, criticality }));
}

function defaultsOf(config: SendAlertDeps["config"]): DefaultAlertConfig[] {
  return defaultAlertConfigs((name) => config.secret(name) !== undefined);
}
