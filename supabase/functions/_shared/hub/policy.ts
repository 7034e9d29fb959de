/** The alert policy's reading and writing: one SQL function each. */
import type postgres from "postgres";
import { z } from "zod";
import { alertRoute } from "../domain/delivery.ts";
import { type PolicyDecision, type PolicyView, policyView, silence } from "../domain/policy.ts";
import { hubError } from "./client.ts";

/** Unresolved incidents, and as many waiting deliveries, that one tick looks at. */
const LIMIT = 5_000;

/** As read: what people write is taken row by row. */
const readView = policyView.extend({ routes: z.array(z.unknown()), silences: z.array(z.unknown()) });

/** What one tick changed. */
export interface PolicyOutcome {
  created: number;
  settled: number;
  opened: number;
  resolved: number;
}

const outcome = z.object({
  created: z.number(),
  settled: z.number(),
  opened: z.number(),
  resolved: z.number(),
});

/**
 * Reads everything that the policy decides from, at one instant.
 *
 * @returns The view, and what is wrong with rows that cannot be read.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readPolicyView(
  sql: postgres.Sql,
  now: Date,
): Promise<{ view: PolicyView; faults: string[] }> {
  try {
    const [row] = await sql<{ view: unknown }[]>`
      select monitoring.policy_view(${now.toISOString()}::text::timestamptz, ${LIMIT}) as view`;
    const view = readView.parse(row?.view);
    const routes = readEach(view.routes, alertRoute, "alert_config");
    const silences = readEach(view.silences, silence, "silences");
    return {
      view: { ...view, routes: routes.rows, silences: silences.rows },
      faults: [...routes.faults, ...silences.faults],
    };
  } catch (error) {
    throw hubError(error, "read what alerts are owed");
  }
}

/**
 * Writes one tick's decisions in one transaction.
 *
 * @throws {AppError} `conflict` when another tick decided meanwhile; `hub_unreachable` or `hub_failed`.
 */
export async function applyPolicy(sql: postgres.Sql, decision: PolicyDecision): Promise<PolicyOutcome> {
  try {
    const [row] = await sql<{ outcome: unknown }[]>`
      select monitoring.apply_policy(${JSON.stringify(decisionJson(decision))}::text::jsonb) as outcome`;
    return outcome.parse(row?.outcome);
  } catch (error) {
    throw hubError(error, "keep what alerts are owed");
  }
}

/**
 * Keeps that a row of `alert_config` got something through.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function noteChannelSuccess(sql: postgres.Sql, alertConfigId: string): Promise<void> {
  try {
    await sql`select monitoring.note_channel_result(${alertConfigId}::text::uuid, null)`;
  } catch (error) {
    throw hubError(error, "keep that a channel works");
  }
}

function readEach<T>(
  values: readonly unknown[],
  schema: z.ZodType<T>,
  table: string,
): { rows: T[]; faults: string[] } {
  const rows: T[] = [];
  const faults: string[] = [];
  for (const value of values) {
    const parsed = schema.safeParse(value);
    if (parsed.success) rows.push(parsed.data);
    else {faults.push(
        `Row ${idOf(value)} of ${table}: ${z.prettifyError(parsed.error).replaceAll(/\s+/g, " ")}`,
      );}
  }
  return { rows, faults };
}

function idOf(value: unknown): string {
  return z.object({ id: z.string() }).safeParse(value).data?.id ?? "?";
}

/** A decision by the names that `monitoring.apply_policy` knows. */
export function decisionJson(decision: PolicyDecision): Record<string, unknown> {
  return {
    now: new Date(decision.now).toISOString(),
    version: decision.version,
    dead: decision.dead.map(({ alertConfigId, reason }) => ({ alert_config_id: alertConfigId, reason })),
    open: decision.open.map((opening) => ({
      id: opening.id,
      project_name: opening.projectName,
      subject_kind: opening.subjectKind,
      subject_id: opening.subjectId,
      code: opening.code,
      severity: opening.severity,
      summary: opening.summary,
      detail: opening.detail,
      job_inventory_id: opening.jobInventoryId,
    })),
    resolve: decision.resolve,
    create: decision.create.map((delivery) => ({
      id: delivery.id,
      alert_config_id: delivery.alertConfigId,
      event: delivery.event,
      note: delivery.note,
      created_at: delivery.createdAt === null ? null : new Date(delivery.createdAt).toISOString(),
      admitted: delivery.admitted,
      held_reason: delivery.heldReason,
      cancelled: delivery.cancelled,
      while_open: delivery.whileOpen,
      unacknowledged: delivery.unacknowledged,
      incidents: delivery.incidents,
      needs: delivery.needs,
    })),
    remove: decision.remove.map(({ deliveryId, incidentId, into }) => ({
      delivery_id: deliveryId,
      incident_id: incidentId,
      into,
    })),
    settle: decision.settle,
    follow: decision.follow,
  };
}
