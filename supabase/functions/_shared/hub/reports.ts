/** Reports: thin calls to the SQL functions that read what one says, and that owe it. */
import type postgres from "postgres";
import { z } from "zod";
import type { RenderedMessage } from "../domain/delivery.ts";
import {
  type ReportFacts,
  reportFacts,
  type ReportPeriod,
  type ReportRecipient,
  reportRecipient,
} from "../domain/report.ts";
import { hubError } from "./client.ts";

/**
 * Everything that a report says, in one round trip.
 *
 * @param limit Rows a list at most.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readReportFacts(
  sql: postgres.Sql,
  { days, from, before }: ReportPeriod,
  limit: number,
): Promise<ReportFacts> {
  return await call("read what the report says", async () => {
    const [row] = await sql`
      select monitoring.report_facts(${days}::integer, ${from}::text::date, ${before}::text::date, ${limit}::integer)
             || jsonb_build_object('watch', monitoring.unwatched(
                  ${from}::text::date::timestamp at time zone 'UTC',
                  (${from}::text::date + ${days}::integer)::timestamp at time zone 'UTC')) as facts`;
    return reportFacts.parse(row?.facts);
  });
}

/**
 * Who gets a report, and whether they have had it.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readRecipients(sql: postgres.Sql, period: ReportPeriod): Promise<ReportRecipient[]> {
  return await call("read report_subscriptions", async () => {
    const rows = await sql<{ recipient: unknown }[]>`
      select recipient from monitoring.report_recipients(${period.kind}, ${period.from}) as recipient`;
    return rows.map(({ recipient }) => reportRecipient.parse(recipient));
  });
}

/** A report as written for one subscription. */
export interface RenderedReport {
  subscriptionId: string;
  channel: string;
  rendered: RenderedMessage;
}

const queued = z.object({ deliveryId: z.string(), subscriptionId: z.string() });
/** A delivery that is owed now. */
export type QueuedReport = z.infer<typeof queued>;

/**
 * Puts a report into the outbox for those who have not had it for that period.
 *
 * @returns What is owed now; none of it where another call was faster.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function queueReport(
  sql: postgres.Sql,
  period: ReportPeriod,
  reports: readonly RenderedReport[],
): Promise<QueuedReport[]> {
  const payload = reports.map(({ subscriptionId, channel, rendered }) => ({
    subscription_id: subscriptionId,
    channel,
    rendered,
  }));
  return await call("put the report into the outbox", async () => {
    const rows = await sql<{ queued: unknown }[]>`
      select queued
      from monitoring.queue_report(${period.kind}, ${period.from}, ${
      JSON.stringify(payload)
    }::text::jsonb) as queued`;
    return rows.map((row) => queued.parse(row.queued));
  });
}

async function call<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw hubError(error, doing);
  }
}
