/** The outbox: thin calls to the SQL functions that claim, route and settle deliveries. */
import type postgres from "postgres";
import { z } from "zod";
import {
  type AlertConfigRow,
  alertConfigRow,
  type ClaimedDelivery,
  claimedDelivery,
  type RefusalSubject,
  type RenderedMessage,
  renderedMessage,
  type UnroutableDelivery,
  unroutableDelivery,
} from "../domain/delivery.ts";
import type { PolicyDecision } from "../domain/policy.ts";
import { hubError } from "./client.ts";
import { decisionJson } from "./policy.ts";

/** How an attempt ended, as the outbox keeps it. */
export type Settlement =
  | { kind: "sent"; providerId: string | null }
  /** `delayMs`: least time until the next attempt. `uncertain`: nobody knows whether the vendor took it. */
  | { kind: "retry"; error: string; delayMs: number; uncertain?: boolean }
  /** `about`: whether the row's target takes nothing, or this message is refused. */
  | { kind: "permanent"; error: string; about: RefusalSubject }
  /** Nothing was attempted: as it was before it was claimed. */
  | { kind: "release" };

/** A claimed row that we cannot read; it must be settled like any other. */
export interface UnreadableDelivery {
  id: string;
  leaseToken: string;
  attempts: number;
  channel: string;
  event: string;
  error: string;
}

/** What one claim gave. */
export interface Claim {
  deliveries: ClaimedDelivery[];
  unreadable: UnreadableDelivery[];
}

const claimEnvelope = z.object({
  id: z.string(),
  leaseToken: z.string(),
  attempts: z.number().int(),
  channel: z.string(),
  event: z.string(),
});

/**
 * Leases deliveries that are due, oldest first and in order per incident.
 *
 * @param except Ids of rows of `alert_config` whose deliveries are left alone.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function claimDeliveries(
  sql: postgres.Sql,
  { limit, leaseSeconds, except = [] }: { limit: number; leaseSeconds: number; except?: readonly string[] },
): Promise<Claim> {
  const rows = await call("claim deliveries", () =>
    sql<{ claimed: unknown }[]>`
      select claimed
      from monitoring.claim_deliveries(${limit}, ${leaseSeconds}, ${
      uuidArray(except)
    }::text::uuid[]) as claimed`);
  return readClaim(rows);
}

function readClaim(rows: readonly { claimed: unknown }[]): Claim {
  const claim: Claim = { deliveries: [], unreadable: [] };
  for (const row of rows) {
    const parsed = claimedDelivery.safeParse(row.claimed);
    if (parsed.success) claim.deliveries.push(parsed.data);
    else claim.unreadable.push({ ...claimEnvelope.parse(row.claimed), error: faultsOf(parsed.error) });
  }
  return claim;
}

/**
 * What {@link claimDeliveries} would give once a tick's decision is written; nothing of it stays.
 *
 * @param decision `null`: nothing was decided.
 * @throws {AppError} `conflict` when another tick decided meanwhile; `hub_unreachable` or `hub_failed`.
 */
export async function previewDeliveries(
  sql: postgres.Sql,
  decision: PolicyDecision | null,
  limit: number,
): Promise<Claim> {
  const payload = decision === null ? null : JSON.stringify(decisionJson(decision));
  const rows = await call("preview deliveries", () =>
    sql<{ claimed: unknown }[]>`
      select claimed from monitoring.preview_deliveries(${payload}::text::jsonb, ${limit}) as claimed`);
  return readClaim(rows);
}

/**
 * How many deliveries could be sent at this moment and are in nobody's hands.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function countWaiting(sql: postgres.Sql): Promise<number> {
  const [row] = await call(
    "count what is left to send",
    () => sql<{ waiting: number }[]>`select monitoring.count_waiting_deliveries() as waiting`,
  );
  return row?.waiting ?? 0;
}

/**
 * Keeps what is about to be sent.
 *
 * @returns What was stored: the same, but for the order of its keys, which a retry will find and the first sending must
 *   have too. `null` when the lease is another's by now: then nothing may be sent.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function storeRendered(
  sql: postgres.Sql,
  delivery: { id: string; leaseToken: string },
  rendered: RenderedMessage,
): Promise<RenderedMessage | null> {
  const [row] = await call("store a rendered alert", () =>
    sql<{ stored: unknown }[]>`
      select monitoring.store_rendered(
        ${delivery.id}::text::uuid, ${delivery.leaseToken}::text::uuid, ${
      JSON.stringify(rendered)
    }::text::jsonb) as stored`);
  return renderedMessage.nullable().parse(row?.stored ?? null);
}

/**
 * Ends an attempt.
 *
 * @returns `false` when the lease is another's by now.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function settleDelivery(
  sql: postgres.Sql,
  delivery: { id: string; leaseToken: string },
  settlement: Settlement,
): Promise<boolean> {
  const [row] = await call("settle a delivery", () =>
    sql<{ settled: boolean }[]>`
      select monitoring.settle_delivery(
        ${delivery.id}::text::uuid, ${delivery.leaseToken}::text::uuid,
        ${JSON.stringify(settlementRow(settlement))}::text::jsonb) as settled`);
  return row?.settled ?? false;
}

function settlementRow(settlement: Settlement): Record<string, unknown> {
  switch (settlement.kind) {
    case "sent":
      return { kind: "sent", provider_id: settlement.providerId };
    case "retry":
      return {
        kind: "retry",
        error: settlement.error,
        delay_ms: settlement.delayMs,
        uncertain: settlement.uncertain ?? false,
      };
    default:
      return settlement;
  }
}

/**
 * Marks as unroutable what is due to rows of `alert_config` that are gone, disabled or of another channel.
 *
 * @returns How many.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function markUnroutable(sql: postgres.Sql): Promise<number> {
  const [row] = await call(
    "mark unroutable deliveries",
    () => sql<{ marked: number }[]>`select monitoring.mark_unroutable() as marked`,
  );
  return row?.marked ?? 0;
}

/**
 * Deliveries that no row of `alert_config` took, oldest first. Rows that cannot be read are left out and named.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readUnroutable(
  sql: postgres.Sql,
  limit: number,
): Promise<{ deliveries: UnroutableDelivery[]; faults: string[] }> {
  const rows = await call("read unroutable deliveries", () =>
    sql<
      { unroutable: unknown }[]
    >`select unroutable from monitoring.unroutable_deliveries(${limit}) as unroutable`);
  const deliveries: UnroutableDelivery[] = [];
  const faults: string[] = [];
  for (const { unroutable } of rows) {
    const parsed = unroutableDelivery.safeParse(unroutable);
    if (parsed.success) deliveries.push(parsed.data);
    else faults.push(faultsOf(parsed.error));
  }
  return { deliveries, faults };
}

/**
 * Gives an unroutable delivery to rows of `alert_config`.
 *
 * @returns To how many.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function routeDelivery(
  sql: postgres.Sql,
  id: string,
  alertConfigIds: readonly string[],
): Promise<number> {
  const [row] = await call("route a delivery", () =>
    sql<{ routed: number }[]>`
      select monitoring.route_delivery(${id}::text::uuid, ${
      uuidArray(alertConfigIds)
    }::text::uuid[]) as routed`);
  return row?.routed ?? 0;
}

/**
 * Ends an unroutable delivery that is no longer owed, with the reason.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function cancelDelivery(sql: postgres.Sql, id: string, reason: string): Promise<void> {
  await call("cancel a delivery", () => sql`select monitoring.cancel_delivery(${id}::text::uuid, ${reason})`);
}

/**
 * The rows of `alert_config`, oldest first, disabled ones included. Their targets may hold secrets. Rows that cannot be
 * read are left out and named.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readAlertConfigs(
  sql: postgres.Sql,
): Promise<{ configs: AlertConfigRow[]; faults: string[] }> {
  const rows = await call("read alert_config", () =>
    sql<{ id: string; config: unknown }[]>`
      select id, monitoring.alert_route_json(c)
        || jsonb_build_object('target', monitoring.alert_target_json(c)) as config
      from public.alert_config c order by created_at, id`);
  const configs: AlertConfigRow[] = [];
  const faults: string[] = [];
  for (const { id, config } of rows) {
    const parsed = alertConfigRow.safeParse(config);
    if (parsed.success) configs.push(parsed.data);
    else faults.push(`Row ${id} of alert_config: ${faultsOf(parsed.error)}`);
  }
  return { configs, faults };
}

async function call<T>(doing: string, query: () => PromiseLike<T>): Promise<T> {
  try {
    return await query();
  } catch (error) {
    throw hubError(error, doing);
  }
}

/** Postgres' notation; the ids come from our own rows. */
function uuidArray(ids: readonly string[]): string {
  return `{${ids.join(",")}}`;
}

function faultsOf(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`).join("; ");
}
