/** Reports: what is read for one, and what one says before it is written for a channel. Instants are epoch milliseconds. */
import { z } from "zod";
import { severity } from "./job.ts";
import type { Severity } from "./job.ts";
import { metricAlarm, metricSeverity } from "./metric.ts";

/** `daily`: the UTC day before. `weekly`: the seven days before the last Monday. */
export const reportKind = z.enum(["daily", "weekly"]);
export type ReportKind = z.infer<typeof reportKind>;

const text = z.string().nullable();
const count = z.number();
/** What is no finite number is none. */
const number = z.number().nullable().catch(null);

const runCounts = z.object({ runs: count, successes: count, failures: count, missed: count, unknown: count });
/** Runs, and slots that nothing ran for. */
export type RunCounts = z.infer<typeof runCounts>;

/** A list of which only the first rows were read. */
function listOf<T extends z.ZodType>(row: T) {
  return z.object({ count, rows: z.array(row) });
}

/** Failures of one job with nearly the same message. */
export const failureGroup = z.object({
  project: z.string(),
  job: z.string(),
  /** One of the messages; untrusted. */
  message: z.string(),
  /** Within the period. */
  count,
  /** Within the period before. */
  before: count,
  firstAt: z.number(),
  lastAt: z.number(),
});
export type FailureGroup = z.infer<typeof failureGroup>;

const reportMetric = z.object({
  name: z.string(),
  project: z.string(),
  labels: z.record(z.string(), z.string()),
  unit: text,
  /** The latest number. */
  value: number,
  severity: metricSeverity,
  alarm: metricAlarm,
  /** Not read for three intervals and a quarter of an hour: nobody knows what it is now. */
  stale: z.boolean(),
  readAt: z.number(),
  summary: text,
  average: number,
  averageBefore: number,
  most: number,
  /** Of costs and tokens, the sum over the period's hours of their averages: of what is counted by the hour, the total. */
  hoursTotal: number,
  hoursTotalBefore: number,
});
export type ReportMetric = z.infer<typeof reportMetric>;

/** What `monitoring.report_facts` answers. Durations are milliseconds; names and messages are untrusted. */
export const reportFacts = z.object({
  at: z.number(),
  monitor: z.object({
    lastCompleteAt: z.number().nullable(),
    checks: count,
    incompleteChecks: count,
    deadChannels: z.array(z.object({ name: z.string(), reason: text, since: z.number() })),
    /** Enabled rows of `alert_config` that take alerts. */
    routes: count,
  }),
  /** Whether anybody looked in that time: each hour and more between two checks. */
  watch: z.object({
    /** `null`: there never was one. */
    firstLookAt: z.number().nullable(),
    unwatchedMs: z.number(),
    longestMs: z.number(),
    longestFrom: z.number().nullable(),
  }),
  totals: z.object({
    jobs: count,
    healthy: count,
    bad: count,
    unknown: count,
    paused: count,
    now: runCounts,
    before: runCounts,
  }),
  projects: listOf(z.object({
    name: z.string(),
    status: z.string(),
    error: text,
    jobs: count,
    now: runCounts,
    before: runCounts,
  })),
  troubled: listOf(z.object({
    project: z.string(),
    name: z.string(),
    owner: text,
    criticality: severity,
    status: z.string(),
    /** `false`: removed since. */
    here: z.boolean(),
    now: runCounts,
    before: runCounts,
  })),
  slowest: listOf(z.object({ project: z.string(), name: z.string(), p50: number, p95: number })),
  slowing: listOf(
    z.object({ project: z.string(), name: z.string(), owner: text, p50: z.number(), before: z.number() }),
  ),
  incidents: z.object({
    opened: count,
    openedBefore: count,
    closed: count,
    closedBefore: count,
    open: count,
    falseAlarms: count,
    falseAlarmsBefore: count,
    /** Medians, and the longest. */
    noticeMs: number,
    noticeMsBefore: number,
    noticeMsMost: number,
    recoveryMs: number,
    recoveryMsBefore: number,
    recoveryMsMost: number,
    openRows: z.array(z.object({
      id: z.string(),
      project: z.string(),
      subject: z.string(),
      code: z.string(),
      severity,
      summary: z.string(),
      owner: text,
      openedAt: z.number(),
      acknowledgedBy: text,
    })),
    closedRows: z.array(z.object({
      id: z.string(),
      project: z.string(),
      subject: z.string(),
      code: z.string(),
      severity,
      resolution: z.string(),
      noticeMs: number,
      lastedMs: z.number(),
      falseAlarm: z.boolean(),
    })),
  }),
  errors: z.array(failureGroup),
  metrics: z.object({
    count,
    rows: z.array(reportMetric),
    failing: z.array(z.object({ name: z.string(), project: z.string(), error: text })),
  }),
  unannotated: listOf(z.object({ project: z.string(), name: z.string() })),
  silences: listOf(z.object({
    project: text,
    pattern: z.string(),
    startsAt: z.number(),
    endsAt: z.number().nullable(),
    schedule: text,
    by: z.string(),
    reason: z.string(),
  })),
  alerts: z.object({
    sent: count,
    sentBefore: count,
    suppressed: count,
    failed: count,
    waiting: count,
    unroutable: count,
    channels: z.array(z.object({ name: text, channel: text, sent: count })),
    suppressedFor: z.array(z.object({ reason: text, count })),
  }),
  changes: listOf(z.object({
    project: z.string(),
    name: z.string(),
    type: z.string(),
    change: z.string(),
    from: text,
    to: text,
  })),
});
export type ReportFacts = z.infer<typeof reportFacts>;

/** Who gets a report. */
export const reportRecipient = z.object({
  subscriptionId: z.string(),
  alertConfigId: z.string(),
  name: text,
  channel: z.string(),
  /** What became of its delivery; `null`: it is not owed yet. */
  state: text,
});
export type ReportRecipient = z.infer<typeof reportRecipient>;

/** Days that a report tells of, and those that it compares with. */
export interface ReportPeriod {
  kind: ReportKind;
  days: number;
  /** First day, `2026-11-20`: the name of the period. */
  from: string;
  /** Last day. */
  to: string;
  /** First day of the equally long time a week earlier. */
  before: string;
}

/** How good something is. */
export type Tone = "good" | "warn" | "bad" | "plain";

/** A value of a row. */
export interface ReportCell {
  text: string;
  tone?: Tone;
  /** 0 to 1, shown as a bar where there is room. */
  bar?: number;
}

/** A column; `before` and `after` are what a line of text needs around the value to be understood. */
export interface ReportColumn {
  title: string;
  align?: "left" | "right";
  before?: string;
  after?: string;
}

/** A table with a heading, its most important rows first. Its first column names what a row is of. */
export interface ReportSection {
  title: string;
  /** A sentence of its own. */
  note?: string;
  columns: readonly ReportColumn[];
  rows: readonly (readonly ReportCell[])[];
  /** How many rows there are in all. */
  count: number;
}

/** What a person should do. */
export interface ReportAction {
  severity: Severity;
  text: string;
}

/** A report as it is understood, before any channel has cut or escaped it. */
export interface Report {
  kind: ReportKind;
  period: ReportPeriod;
  /** `Daily report of 2026-11-20`. */
  title: string;
  /** How it is, in a sentence. */
  headline: string;
  /** The gravest action's; `info`: there is none. */
  severity: Severity;
  /** Worst first. */
  actions: readonly ReportAction[];
  sections: readonly ReportSection[];
  /** What shows all of it. */
  command: string;
  at: Date;
}
