/** One tick of the alert policy: read, decide, write. */
import type { PolicyDecision } from "../_shared/domain/policy.ts";
import { applyPolicy, readPolicyView } from "../_shared/hub/policy.ts";
import { decidePolicy } from "../_shared/rules/alert_policy.ts";
import type { SendAlertDeps } from "./deps.ts";

/** Where incidents of the hub's own belong where nothing else is said. */
const DEFAULT_HUB_PROJECT = "thordata";
/** Reasons that the log gives one by one. */
const LOGGED_REASONS = 50;

/** What a tick decides, before it is written. */
export interface Tick {
  decision: PolicyDecision;
  /** What is wrong with what people wrote. */
  faults: string[];
  incidents: number;
}

/**
 * Decides what every open incident and every waiting delivery owes now.
 *
 * @param targetKeys What the rows' references lead to, by id, where that is known.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function decideTick(
  deps: SendAlertDeps,
  targetKeys: ReadonlyMap<string, string>,
): Promise<Tick> {
  const now = deps.clock();
  const { view, faults } = await readPolicyView(deps.sql, now);
  const routes = view.routes.map((row) => ({ ...row, targetKey: targetKeys.get(row.id) ?? row.targetKey }));
  const decision = decidePolicy({ ...view, routes }, {
    now: now.getTime(),
    hubProjectName: deps.config.hubProjectName ?? DEFAULT_HUB_PROJECT,
    newId: () => crypto.randomUUID(),
  });
  return { decision, faults: [...faults, ...decision.faults], incidents: view.incidents.length };
}

/**
 * Decides a tick and writes it.
 *
 * @param targetKeys What the rows' references lead to, by id, where that is known.
 * @returns What is wrong with what people wrote.
 * @throws {AppError} `conflict` when another tick decided meanwhile; `hub_unreachable` or `hub_failed`.
 */
export async function tickPolicy(
  deps: SendAlertDeps,
  targetKeys: ReadonlyMap<string, string>,
): Promise<string[]> {
  const { decision, faults, incidents } = await decideTick(deps, targetKeys);
  if (decides(decision)) {
    const outcome = await applyPolicy(deps.sql, decision);
    deps.log.info("alert policy applied", { ...outcome, incidents });
    logDecision(decision, deps);
  }
  return faults;
}

/** Writing nothing would only move the version on. */
function decides({ dead, open, resolve, create, settle, follow }: PolicyDecision): boolean {
  return [dead, open, resolve, create, settle, follow].some((list) => list.length > 0);
}

/** Nothing is dropped or held without a word. */
function logDecision(decision: PolicyDecision, { log }: Pick<SendAlertDeps, "log">): void {
  const ends = [
    ...decision.settle.flatMap((one) => one.fate === "admit" ? [] : [one]),
    ...decision.create.flatMap(({ id, cancelled, heldReason }) => {
      const reason = cancelled ?? heldReason;
      return reason === null ? [] : [{ id, fate: cancelled === null ? "hold" : "cancel", reason }];
    }),
  ];
  for (const { id, fate, reason } of ends.slice(0, LOGGED_REASONS)) {
    log.info(fate === "cancel" ? "delivery cancelled" : "delivery held", { delivery_id: id, reason });
  }
  if (ends.length > LOGGED_REASONS) {
    log.info("deliveries cancelled or held", { more: ends.length - LOGGED_REASONS });
  }
  for (const { alertConfigId, reason } of decision.dead) {
    log.error("channel is dead", { alert_config_id: alertConfigId, reason });
  }
  for (const { id, code, summary } of decision.open) {
    log.warn("incident opened", { incident_id: id, code, summary });
  }
}
