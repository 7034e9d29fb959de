/** The line of `send-report`: who has not had it → facts → report → a rendering a channel → the outbox. */
import type postgres from "postgres";
import { z } from "zod";
import { renderReport } from "../_shared/channels/report.ts";
import type { Clock } from "../_shared/clock.ts";
import { type ChannelName, channelName, type RenderedMessage } from "../_shared/domain/delivery.ts";
import {
  type Report,
  reportKind,
  type ReportPeriod,
  type ReportRecipient,
} from "../_shared/domain/report.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import { queueReport, readRecipients, readReportFacts, type RenderedReport } from "../_shared/hub/reports.ts";
import type { Log } from "../_shared/log.ts";
import { composeReport } from "../_shared/rules/report.ts";
import { reportMail } from "../_shared/rules/report_html.ts";
import { reportPeriod } from "../_shared/rules/report_period.ts";
import { reportText } from "../_shared/rules/report_text.ts";

/** Rows a list: of what is sent, and of what a person asks to see. */
const SENT_ROWS = 12;
const MOST_ROWS = 200;

export const reportInput = z.strictObject({
  /** Who calls; `cron` is answered at once. */
  source: z.string().max(64).default("manual"),
  report: reportKind.default("daily"),
  /** Answers the report, its mail and who would get it; sends and writes nothing. */
  dry_run: z.boolean().default(false),
});
export type ReportInput = z.infer<typeof reportInput>;

/** What `send-report` needs of its surroundings. */
export interface ReportDeps {
  sql: postgres.Sql;
  log: Log;
  clock: Clock;
}

/** Somebody who gets the report. `queued`: owed now. `had`: was owed before, see `state`. */
export interface ReportReceipt {
  subscription_id: string;
  alert_config_id: string;
  name: string | null;
  channel: string;
  result: "queued" | "had" | "would be queued";
  /** Of its delivery, where it was owed before. */
  state: string | null;
}

/** What `send-report` answers. */
export interface ReportAnswer {
  report: string;
  /** First and last day that it tells of. */
  from: string;
  to: string;
  dry_run: boolean;
  queued: number;
  recipients: ReportReceipt[];
  /** Only of a dry run. */
  text?: string;
  mail?: { subject: string; html: string; text: string };
}

/** States from which a delivery is owed again. */
const OWED_AGAIN: ReadonlySet<string> = new Set(["failed", "cancelled"]);

/**
 * Puts a report into the outbox for everybody who has not had it yet; `send-alert` delivers it within a minute.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function runReport(deps: ReportDeps, input: ReportInput): Promise<ReportAnswer> {
  const period = reportPeriod(input.report, deps.clock());
  const recipients = await readRecipients(deps.sql, period);
  const answer = { report: period.kind, from: period.from, to: period.to, dry_run: input.dry_run };
  if (input.dry_run) return { ...answer, ...await preview(deps, period, recipients) };
  const owed = recipients.filter(isOwed);
  const queued = owed.length === 0 ? new Set<string>() : await queue(deps, period, owed);
  const receipts = recipients.map((recipient): ReportReceipt => ({
    ...receiptOf(recipient),
    result: queued.has(recipient.subscriptionId) ? "queued" : "had",
  }));
  deps.log.info("report owed", { report: period.kind, from: period.from, queued: queued.size });
  return { ...answer, queued: queued.size, recipients: receipts };
}

function isOwed({ state }: ReportRecipient): boolean {
  return state === null || OWED_AGAIN.has(state);
}

/** Rendered once a channel. Answers the subscriptions for which it is owed now. */
async function queue(
  deps: ReportDeps,
  period: ReportPeriod,
  owed: readonly ReportRecipient[],
): Promise<Set<string>> {
  const report = composeReport(await readReportFacts(deps.sql, period, SENT_ROWS), period);
  const byChannel = new Map<ChannelName, RenderedMessage>();
  const rendered = owed.flatMap(({ subscriptionId, channel }): RenderedReport[] => {
    const name = channelName.safeParse(channel).data;
    if (name === undefined) return [];
    const message = byChannel.get(name) ?? renderReport(name, report);
    byChannel.set(name, message);
    return [{ subscriptionId, channel: name, rendered: message }];
  });
  const deliveries = await queueReport(deps.sql, period, rendered);
  return new Set(deliveries.map(({ subscriptionId }) => subscriptionId));
}

async function preview(deps: ReportDeps, period: ReportPeriod, recipients: readonly ReportRecipient[]) {
  const report: Report = composeReport(await readReportFacts(deps.sql, period, MOST_ROWS), period);
  return {
    queued: 0,
    recipients: recipients.map((recipient): ReportReceipt => ({
      ...receiptOf(recipient),
      result: isOwed(recipient) ? "would be queued" : "had",
    })),
    text: reportText(report, { rows: MOST_ROWS, actions: MOST_ROWS, cell: MOST_ROWS }),
    mail: reportMail(report),
  };
}

function receiptOf({ subscriptionId, alertConfigId, name, channel, state }: ReportRecipient) {
  return { subscription_id: subscriptionId, alert_config_id: alertConfigId, name, channel, state };
}

/** What the log of invocations keeps. */
export function reportEnding({ queued, recipients }: ReportAnswer): CheckRunEnd {
  return { status: "complete", counts: { queued, recipients: recipients.length }, error: null };
}
