/** What PagerDuty tells of an alert of ours, kept with its incidents. Source: PagerDuty's v3 webhooks, "Overview". */
import type postgres from "postgres";
import { z } from "zod";
import { followPagerDuty, type PagerDutyNews } from "../_shared/hub/presses.ts";
import type { Log } from "../_shared/log.ts";
import { cut, oneLine } from "../_shared/rules/text.ts";

/** UTF-16 units of a person's name that are kept. */
const NAME_LIMIT = 100;

/** PagerDuty's events that concern us, as we call them. */
const NEWS: Readonly<Record<string, PagerDutyNews["event"]>> = {
  "incident.acknowledged": "acknowledged",
  "incident.unacknowledged": "unacknowledged",
  "incident.resolved": "resolved",
};

const event = z.object({
  event_type: z.string(),
  occurred_at: z.iso.datetime({ offset: true }).optional(),
  /** Empty where no person did it. */
  agent: z.object({ summary: z.string().nullish() }).nullish(),
  data: z.object({ incident_key: z.string().nullish(), number: z.number().nullish() }).nullish(),
});

/** One event a call; those that do not concern us have other data. */
export const pagerdutyWebhook = z.object({ event });

/** What came of an event. */
export interface PagerDutyReport {
  event: string;
  /** Incidents of ours that the alert tells of; 0: it is none of ours. */
  incidents: number;
  changed: number;
}

/**
 * Acknowledges what was acknowledged in PagerDuty, and takes that back with it. What was resolved there is only
 * logged: an incident of ours ends when its condition does.
 *
 * @throws {AppError} `hub_unreachable`, `hub_failed` or `conflict`: PagerDuty tells of the event again.
 */
export async function runPagerDutyWebhook(
  { sql, log }: { sql: postgres.Sql; log: Log },
  { event_type, occurred_at, agent, data }: z.infer<typeof event>,
): Promise<PagerDutyReport> {
  const meant = NEWS[event_type];
  const key = data?.incident_key ?? null;
  if (meant === undefined || key === null) {
    log.info("event passed over", { news: event_type });
    return { event: event_type, incidents: 0, changed: 0 };
  }
  const name = cut(oneLine(agent?.summary ?? ""), NAME_LIMIT);
  const by = name === "" ? "PagerDuty" : `${name} (PagerDuty)`;
  const at = occurred_at === undefined ? new Date() : new Date(occurred_at);
  const followed = await followPagerDuty(sql, {
    key: key.replaceAll("\0", "").toWellFormed(),
    event: meant,
    by,
    at,
  });
  log.info(followed.incidents === 0 ? "event of an alert that is not ours" : "event followed", {
    news: event_type,
    by,
    number: data?.number ?? null,
    ...followed,
  });
  return { event: event_type, ...followed };
}
