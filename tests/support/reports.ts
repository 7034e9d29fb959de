/** Facts of reports for tests: every test names only what it is about. */
import type { ReportFacts } from "../../supabase/functions/_shared/domain/report.ts";
import { reportPeriod } from "../../supabase/functions/_shared/rules/report_period.ts";

/** A Saturday, past nine. */
export const REPORT_AT = new Date("2026-11-21T09:00:05Z");
export const DAILY = reportPeriod("daily", REPORT_AT);
export const WEEKLY = reportPeriod("weekly", REPORT_AT);

const NO_RUNS = { runs: 0, successes: 0, failures: 0, missed: 0, unknown: 0 };
const NOTHING = { count: 0, rows: [] };

/** Counts of runs. */
export function runs(over: Partial<typeof NO_RUNS> = {}): typeof NO_RUNS {
  return { ...NO_RUNS, ...over };
}

/** A hub in which nothing ever happened, but that its last check was complete and alerts have somewhere to go. */
export function quietFacts(over: Partial<ReportFacts> = {}): ReportFacts {
  return {
    at: REPORT_AT.getTime(),
    monitor: {
      lastCompleteAt: REPORT_AT.getTime() - 60_000,
      checks: 96,
      incompleteChecks: 0,
      deadChannels: [],
      routes: 1,
    },
    watch: {
      firstLookAt: REPORT_AT.getTime() - 30 * 86_400_000,
      unwatchedMs: 0,
      longestMs: 0,
      longestFrom: null,
    },
    totals: { jobs: 0, healthy: 0, bad: 0, unknown: 0, paused: 0, now: runs(), before: runs() },
    projects: NOTHING,
    troubled: NOTHING,
    slowest: NOTHING,
    slowing: NOTHING,
    incidents: {
      ...{
        opened: 0,
        openedBefore: 0,
        closed: 0,
        closedBefore: 0,
        open: 0,
        falseAlarms: 0,
        falseAlarmsBefore: 0,
      },
      ...{ noticeMs: null, noticeMsBefore: null, noticeMsMost: null },
      ...{ recoveryMs: null, recoveryMsBefore: null, recoveryMsMost: null },
      openRows: [],
      closedRows: [],
    },
    errors: [],
    metrics: { count: 0, rows: [], failing: [] },
    unannotated: NOTHING,
    silences: NOTHING,
    alerts: {
      ...{ sent: 0, sentBefore: 0, suppressed: 0, failed: 0, waiting: 0, unroutable: 0 },
      channels: [],
      suppressedFor: [],
    },
    changes: NOTHING,
    ...over,
  };
}

/** One job that ran well. */
export function oneJobFacts(): ReportFacts {
  const now = runs({ runs: 24, successes: 24 });
  return quietFacts({
    totals: { jobs: 1, healthy: 1, bad: 0, unknown: 0, paused: 0, now, before: now },
    projects: {
      count: 1,
      rows: [{ name: "smoothed", status: "ok", error: null, jobs: 1, now, before: now }],
    },
    slowest: { count: 1, rows: [{ project: "smoothed", name: "sync_leads", p50: 1_200, p95: 3_400 }] },
  });
}

/** Rows that the hub answers at most. */
const ROWS = 200;

/** So many jobs of which everything is said that can be, all called alike but for a number. */
export function manyJobsFacts(count: number, name = "sync_leads"): ReportFacts {
  const now = runs({ runs: 24, successes: 20, failures: 4, missed: 1 });
  const before = runs({ runs: 24, successes: 23, failures: 1 });
  const at = REPORT_AT.getTime();
  const list = <T>(row: (index: number) => T) => ({
    count,
    rows: Array.from({ length: Math.min(count, ROWS) }, (_, index) => row(index)),
  });
  const job = (index: number) => ({
    project: `${name} ${index % 40}`,
    name: `${name}_${index}`,
    owner: name,
  });
  return {
    ...quietFacts(),
    totals: {
      ...{ jobs: count, healthy: 0, bad: count, unknown: 0, paused: 0 },
      now: runs({ runs: 24 * count, successes: 20 * count, failures: 4 * count, missed: count }),
      before: runs({ runs: 24 * count, successes: 23 * count, failures: count }),
    },
    monitor: {
      ...quietFacts().monitor,
      deadChannels: list(() => ({ name, reason: name, since: at - 1 })).rows,
    },
    projects: list((index) => ({
      ...{ name: `${name} ${index}`, status: "error", error: name, jobs: 50, now, before },
    })),
    troubled: list((index) => ({
      ...job(index),
      ...{ criticality: "critical" as const, status: "failed", here: true, now, before } as const,
    })),
    slowest: list((index) => ({ ...job(index), p50: 1_000 + index, p95: 2_000 + index })),
    slowing: list((index) => ({ ...job(index), p50: 4_000, before: 1_000 })),
    incidents: {
      ...quietFacts().incidents,
      ...{
        opened: count,
        closed: count,
        open: count,
        falseAlarms: count,
        noticeMs: 60_000,
        noticeMsMost: 120_000,
      },
      openRows: list((index) => ({
        ...{
          id: String(index),
          project: name,
          subject: `${name}_${index + 7}`,
          code: name,
          severity: "critical" as const,
        },
        ...{ summary: name, owner: name, openedAt: at - 3_600_000, acknowledgedBy: null },
      } as const)).rows,
      closedRows: list((index) => ({
        ...{ id: String(index), project: name, subject: name, code: name, severity: "low" as const },
        ...{ resolution: "recovered", noticeMs: 60_000, lastedMs: 60_000, falseAlarm: false },
      } as const)).rows,
    },
    errors: list((index) => ({
      ...{
        project: name,
        job: `${name}_${index}`,
        message: `${"x".repeat(index % 50)} ${name}`,
        count: 3,
        before: 1,
      },
      ...{ firstAt: at - 90_000_000, lastAt: at - 80_000_000 },
    })).rows,
    metrics: {
      count,
      rows: list((index) => ({
        ...{
          name: index % 3 === 0 ? "ai_cost_hourly" : "queue_depth",
          project: name,
          labels: { [name]: name },
        },
        ...{
          unit: name,
          value: 1e15,
          severity: "critical" as const,
          alarm: "critical" as const,
          stale: false,
          readAt: at,
          summary: name,
        },
        ...{ average: 12, averageBefore: 6, most: 99, hoursTotal: 88, hoursTotalBefore: 44 },
      } as const)).rows,
      failing: list(() => ({ name, project: name, error: name })).rows,
    },
    unannotated: list(job),
    silences: list(() => ({
      ...{
        project: name,
        pattern: name,
        startsAt: at - 9e8,
        endsAt: at + 9e8,
        schedule: null,
        by: name,
        reason: name,
      },
    })),
    alerts: {
      ...{ sent: 9, sentBefore: 3, suppressed: 1, failed: 1, waiting: 1, unroutable: count },
      channels: list(() => ({ name, channel: "slack", sent: 2 })).rows,
      suppressedFor: [{ reason: name, count: 1 }],
    },
    changes: list((index) => ({ ...job(index), type: "pg_cron", change: "schedule", from: name, to: name })),
  };
}
