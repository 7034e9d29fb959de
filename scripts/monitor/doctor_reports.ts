/** The doctor on reports: whether each subscriber can get the report, and got the last one that was due. */
import { reportPeriod } from "../../supabase/functions/_shared/rules/report_period.ts";
import { nameOfRow } from "../../supabase/functions/_shared/rules/routing.ts";
import type { DoctorFacts } from "./doctor_facts.ts";
import { fail, type Finding, ok } from "./finding.ts";
import { task } from "./help.ts";

type Subscription = DoctorFacts["subscriptions"][number];

const HOUR_MS = 3_600_000;
/** Reports are due at nine, UTC. */
const DUE_HOUR = 9;
/** The schedule calls three times within the hour, in case a call is lost. */
const PATIENCE_HOURS = 1;

/** Whether the readers of reports get them; a row whose channel cannot work is told of in `faults` or is dead. */
export function judgeReports(
  { now, subscriptions }: Pick<DoctorFacts, "now" | "subscriptions">,
  faults: readonly string[],
): Finding[] {
  const wanted = subscriptions.filter(({ enabled }) => enabled);
  if (wanted.length === 0) return [ok("reports", "Nobody has subscribed to one: docs/REPORTS.md")];
  return wanted.map((subscription) => judgeSubscription(subscription, new Date(now), faults));
}

function judgeSubscription(subscription: Subscription, now: Date, faults: readonly string[]): Finding {
  const { report, row_enabled, dead, period, state, error } = subscription;
  const row = nameOfRow(subscription);
  const cannot = (why: string, remedy: string) =>
    fail("reports", `Row ${row} cannot get the ${report} report: ${why}`, remedy);
  if (!row_enabled) {
    return cannot("it is disabled", "Enable the row, or disable its row of report_subscriptions");
  }
  if (dead !== null) return cannot(`nothing gets through: ${dead}`, "Set the row of alert_config right");
  const fault = faults.find((one) => one.startsWith(`Row ${row} `));
  if (fault !== undefined) {
    return cannot("its channel is not set up right", "See what is said of it under alerts");
  }
  const due = dueReport(subscription, now);
  const again = task(`report ${report} --send`);
  if (due !== null && (period === null || period < due)) {
    return fail("reports", `Row ${row} has not got the ${report} report of ${due}`, again);
  }
  if (period === null) return ok("reports", `Row ${row} gets the ${report} report; none was due yet`);
  if (state === "failed" || state === "cancelled") {
    const why = error === null ? "" : `: ${error}`;
    return fail("reports", `Row ${row} did not take the ${report} report of ${period}${why}`, again);
  }
  const verb = state === "due" ? "is about to get" : "got";
  return ok("reports", `Row ${row} ${verb} the ${report} report of ${period}`);
}

/** First day of the last report that a subscription should have got by now; `null`: it is younger than that was due. */
export function dueReport(
  { report, since }: Pick<Subscription, "report" | "since">,
  now: Date,
): string | null {
  const late = new Date(now.getTime() - (DUE_HOUR + PATIENCE_HOURS) * HOUR_MS);
  const { from, to } = reportPeriod(report, late);
  const dueAt = Date.parse(`${to}T00:00:00Z`) + (24 + DUE_HOUR) * HOUR_MS;
  return Date.parse(since) < dueAt ? from : null;
}
