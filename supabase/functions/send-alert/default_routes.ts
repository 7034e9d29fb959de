/** Where alerts go when nobody has said so, by the secrets that the function has. */
import { ensureDefaultAlertConfig } from "../_shared/hub/default_routes.ts";
import { defaultAlertConfigs } from "../_shared/rules/default_routes.ts";
import type { SendAlertDeps } from "./deps.ts";

/**
 * Fills an empty `alert_config` with default rows.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function applyDefaultRoutes({ sql, config, log }: SendAlertDeps): Promise<void> {
  const rows = defaultAlertConfigs((name) => config.secret(name) !== undefined);
  const inserted = await ensureDefaultAlertConfig(sql, rows);
  if (inserted > 0) {
    log.info("default routes written to alert_config", { rows: rows.map(({ name }) => name) });
  }
}
