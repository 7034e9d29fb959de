/** What a report says: from the facts of a period to a headline, actions and tables. */
import type {
  Report,
  ReportAction,
  ReportCell,
  ReportFacts,
  ReportMetric,
  ReportPeriod,
  ReportSection,
} from "../domain/report.ts";
import { type ErrorGroup, groupErrors } from "./fingerprint.ts";
import { seriesName } from "./metric_text.ts";
import { reportActions } from "./report_actions.ts";
import { beforeInWords, endOf, endOfBefore, periodInWords } from "./report_period.ts";
import {
  apart,
  badCount,
  counted,
  formatShare,
  jobName,
  lasting,
  metricNumber,
  safeName,
  safeText,
  shareApart,
  shareCell,
  sharesApart,
  uptimeOf,
} from "./report_words.ts";
import { worstSeverity } from "./routing.ts";
import { formatDuration, formatUtc } from "./text.ts";

/** Composes a report. Everything that came from outside is redacted and put on one line here. */
export function composeReport(facts: ReportFacts, period: ReportPeriod): Report {
  const failed = groupErrors(facts.errors).filter(({ count }) => count > 0);
  const actions = reportActions(facts, period, failed);
  const command = `deno task monitor report ${period.kind}`;
  return {
    kind: period.kind,
    period,
    title: `${period.kind === "daily" ? "Daily" : "Weekly"} report of ${periodInWords(period)}`,
    headline: headlineOf(facts, actions, period),
    severity: worstSeverity(actions.map(({ severity }) => severity)),
    actions,
    sections: [
      numbers(facts, period),
      projects(facts),
      openIncidents(facts),
      closedIncidents(facts),
      troubled(facts),
      errors(failed, period),
      slowest(facts),
      slowing(facts),
      cost(facts),
      queues(facts),
      metrics(facts),
      alerts(facts, period),
      silenced(facts),
      unannotated(facts),
      changes(facts),
    ].filter(({ rows }) => rows.length > 0),
    command,
    at: new Date(facts.at),
  };
}

/** One sentence: whether all is quiet, and what counts most. What nobody looked at is not quiet. */
function headlineOf(facts: ReportFacts, actions: readonly ReportAction[], period: ReportPeriod): string {
  const { incidents, watch } = facts;
  const ran = runsInWords(facts);
  const grave = actions.filter(({ severity }) => severity === "critical" || severity === "important").length;
  if (grave === 0 && incidents.open === 0) {
    if (watch.firstLookAt === null || watch.firstLookAt >= endOf(period)) {
      return `Nobody looked in that time; what was read afterwards: ${ran}.`;
    }
    const later = actions.length === 0
      ? ""
      : `; ${counted(actions.length, "thing")} to do when there is time`;
    return `All quiet: ${ran}${later}.`;
  }
  const open = incidents.open === 0 ? "no incident is open" : `${counted(incidents.open, "incident")} open`;
  return `${counted(grave, "thing needs", "things need")} attention, ${open}: ${ran}.`;
}

function runsInWords({ totals: { jobs, unknown, now }, projects }: ReportFacts): string {
  const uptime = uptimeOf(now);
  const judged = now.successes + now.failures + now.missed;
  return [
    ...uptime === null ? [counted(jobs, "job"), "no run is known"] : [
      `${counted(jobs, "job")} in ${counted(projects.count, "project")}`,
      `${formatShare(uptime)} of ${counted(judged, "run")} succeeded`,
    ],
    ...unknown === 0 ? [] : [`${counted(unknown, "job is", "jobs are")} unknown`],
  ].join(", ");
}

// --- the sections ---

const NUMBER = { align: "right" } as const;

function numbers({ totals, incidents, monitor, watch }: ReportFacts, period: ReportPeriod): ReportSection {
  const { now, before } = totals;
  const known = before.runs + before.missed > 0;
  const past = (value: number) => known ? value : null;
  const told = (value: number) => lookedBefore(watch, period) ? value : null;
  const row = (
    name: string,
    value: ReportCell,
    change: ReportCell,
  ): ReportCell[] => [{ text: name }, value, change];
  const plain = (value: number): ReportCell => ({ text: value.toLocaleString("en-US") });
  const rate = (false_: number, opened: number) => opened > 0 ? false_ / opened : null;
  const falseRate = rate(incidents.falseAlarms, incidents.opened);
  const rows = [
    row("Uptime", shareCell(uptimeOf(now)), sharesApart(uptimeOf(now), uptimeOf(before))),
    row("Runs", plain(now.runs), apart(now.runs, past(before.runs), "neither")),
    row("Failures", badCount(now.failures), apart(now.failures, past(before.failures), "more")),
    row("Slots missed", badCount(now.missed), apart(now.missed, past(before.missed), "more")),
    ...now.unknown > 0
      ? [row("Ended nobody knows how", plain(now.unknown), apart(now.unknown, past(before.unknown), "more"))]
      : [],
    row(
      "Incidents opened",
      plain(incidents.opened),
      apart(incidents.opened, told(incidents.openedBefore), "more"),
    ),
    row(
      "Incidents closed",
      plain(incidents.closed),
      apart(incidents.closed, told(incidents.closedBefore), "neither"),
    ),
    row("Incidents open now", badCount(incidents.open), { text: "" }),
    ...incidents.noticeMs === null ? [] : [row(
      "Time to notice",
      { text: `${lasting(incidents.noticeMs)} usually, ${lasting(incidents.noticeMsMost)} at most` },
      shareApart(incidents.noticeMs, incidents.noticeMsBefore),
    )],
    ...incidents.recoveryMs === null ? [] : [row(
      "Time to recover",
      { text: `${lasting(incidents.recoveryMs)} usually, ${lasting(incidents.recoveryMsMost)} at most` },
      shareApart(incidents.recoveryMs, incidents.recoveryMsBefore),
    )],
    ...falseRate === null ? [] : [row(
      "False alarms",
      { text: `${incidents.falseAlarms} of ${incidents.opened} (${Math.round(falseRate * 100)} %)` },
      sharesApartOf(falseRate, rate(incidents.falseAlarmsBefore, incidents.openedBefore)),
    )],
    row("Jobs now", { text: jobsInWords(totals) }, { text: "" }),
    row("Checks", {
      text: [
        counted(monitor.checks, "check"),
        ...monitor.incompleteChecks === 0 ? [] : [`${monitor.incompleteChecks} could not see everything`],
        ...watch.unwatchedMs === 0 ? [] : [`none for ${formatDuration(watch.unwatchedMs)}`],
      ].join(", "),
      ...watch.unwatchedMs === 0 ? {} : { tone: "bad" },
    }, { text: "" }),
  ];
  return {
    title: "Numbers",
    columns: [{ title: "" }, { title: "" }, {
      title: `against ${beforeInWords(period)}`,
      after: `against ${beforeInWords(period)}`,
    }],
    rows,
    count: rows.length,
  };
}

/** Whether anybody looked in the time that is compared with: without, none is not few. */
function lookedBefore({ firstLookAt }: ReportFacts["watch"], period: ReportPeriod): boolean {
  return firstLookAt !== null && firstLookAt < endOfBefore(period);
}

/** Of a share of which more is worse. */
function sharesApartOf(now: number, before: number | null): ReportCell {
  const { text, tone } = sharesApart(now, before);
  return tone === undefined ? { text } : { text, tone: tone === "good" ? "bad" : "good" };
}

function jobsInWords({ jobs, healthy, bad, unknown, paused }: ReportFacts["totals"]): string {
  const parts = [
    `${healthy.toLocaleString("en-US")} of ${jobs.toLocaleString("en-US")} healthy`,
    ...bad > 0 ? [`${bad.toLocaleString("en-US")} failed or missed`] : [],
    ...unknown > 0 ? [`${unknown.toLocaleString("en-US")} unknown`] : [],
    ...paused > 0 ? [`${paused.toLocaleString("en-US")} paused`] : [],
  ];
  return parts.join(", ");
}

function projects({ projects: { count, rows } }: ReportFacts): ReportSection {
  return {
    title: "Projects",
    columns: [
      { title: "project" },
      { title: "uptime", after: "uptime" },
      { title: "change", ...NUMBER },
      { title: "jobs", ...NUMBER, after: "jobs" },
      { title: "runs", ...NUMBER, after: "runs" },
      { title: "failures", ...NUMBER, after: "failures" },
      { title: "missed", ...NUMBER, after: "missed" },
    ],
    rows: rows.map(({ name, status, jobs, now, before }) => [
      status === "error"
        ? { text: `${safeName(name)} (cannot be read)`, tone: "bad" }
        : { text: safeName(name) },
      shareCell(uptimeOf(now)),
      sharesApart(uptimeOf(now), uptimeOf(before)),
      { text: jobs.toLocaleString("en-US") },
      { text: now.runs.toLocaleString("en-US") },
      badCount(now.failures),
      badCount(now.missed),
    ]),
    count,
  };
}

function openIncidents({ at, incidents: { open, openRows } }: ReportFacts): ReportSection {
  return {
    title: "Open incidents",
    columns: [{ title: "" }, { title: "what" }, { title: "severity" }, {
      title: "for",
      ...NUMBER,
      before: "for",
    }, { title: "who" }],
    rows: openRows.map(({ subject, project, code, severity, openedAt, acknowledgedBy, owner }) => [
      { text: jobName({ project, name: subject }) },
      { text: safeName(code.replaceAll("_", " ")) },
      { text: severity, tone: severity === "critical" ? "bad" : "warn" },
      { text: formatDuration(at - openedAt) },
      {
        text: acknowledgedBy !== null
          ? `taken on by ${safeName(acknowledgedBy)}`
          : owner === null
          ? "nobody is on it"
          : `owner ${safeName(owner)}`,
      },
    ]),
    count: open,
  };
}

function closedIncidents({ incidents: { closed, closedRows } }: ReportFacts): ReportSection {
  return {
    title: "Incidents that ended",
    columns: [
      { title: "" },
      { title: "what" },
      { title: "severity" },
      { title: "noticed after", ...NUMBER, before: "noticed after" },
      { title: "lasted", ...NUMBER, before: "lasted" },
      { title: "how" },
    ],
    rows: closedRows.map((
      { subject, project, code, severity, noticeMs, lastedMs, resolution, falseAlarm },
    ) => [
      { text: jobName({ project, name: subject }) },
      { text: safeName(code.replaceAll("_", " ")) },
      { text: severity },
      { text: lasting(noticeMs) },
      { text: lasting(lastedMs) },
      { text: falseAlarm ? "false alarm" : resolution },
    ]),
    count: closed,
  };
}

function troubled({ troubled: { count, rows } }: ReportFacts): ReportSection {
  return {
    title: "Jobs with failures",
    columns: [
      { title: "job" },
      { title: "uptime", after: "uptime" },
      { title: "change", ...NUMBER },
      { title: "runs", ...NUMBER, after: "runs" },
      { title: "failures", ...NUMBER, after: "failures" },
      { title: "missed", ...NUMBER, after: "missed" },
      { title: "now" },
    ],
    rows: rows.map((job) => [
      { text: jobName(job) },
      shareCell(uptimeOf(job.now)),
      sharesApart(uptimeOf(job.now), uptimeOf(job.before)),
      { text: job.now.runs.toLocaleString("en-US") },
      badCount(job.now.failures),
      badCount(job.now.missed),
      job.here ? { text: job.status, tone: job.status === "healthy" ? "good" : "bad" } : { text: "removed" },
    ]),
    count,
  };
}

function errors(groups: readonly ErrorGroup[], { from }: ReportPeriod): ReportSection {
  const since = Date.parse(`${from}T00:00:00Z`);
  return {
    title: "Errors",
    note: "Numbers, ids and quoted values are folded.",
    columns: [
      { title: "error" },
      { title: "times", ...NUMBER, after: "times" },
      { title: "before", ...NUMBER, before: "before" },
      { title: "in" },
      { title: "" },
    ],
    rows: groups.map(({ fingerprint, count, before, jobs, firstAt }) => [
      { text: fingerprint },
      { text: count.toLocaleString("en-US"), tone: count > before ? "bad" : "plain" },
      { text: before.toLocaleString("en-US") },
      {
        text: jobs.slice(0, 2).map(({ project, job }) => jobName({ project, name: job })).join(", ") +
          (jobs.length > 2 ? ` and ${counted(jobs.length - 2, "other job")}` : ""),
      },
      firstAt >= since ? { text: "new", tone: "bad" } : { text: "" },
    ]),
    count: groups.length,
  };
}

function slowest({ slowest: { count, rows } }: ReportFacts): ReportSection {
  const most = Math.max(...rows.map(({ p95 }) => p95 ?? 0), 1);
  return {
    title: "Slowest jobs",
    columns: [
      { title: "job" },
      { title: "95 of 100 runs within", before: "95 of 100 runs within" },
      { title: "usually", ...NUMBER, before: "usually" },
    ],
    rows: rows.map((job) => [
      { text: jobName(job) },
      { text: lasting(job.p95), bar: (job.p95 ?? 0) / most },
      { text: lasting(job.p50) },
    ]),
    count,
  };
}

function slowing({ slowing: { count, rows } }: ReportFacts): ReportSection {
  return {
    title: "Slowing jobs",
    columns: [{ title: "job" }, { title: "usually", ...NUMBER, before: "usually" }, {
      title: "before",
      ...NUMBER,
      before: "before",
    }, { title: "", ...NUMBER }],
    rows: rows.map((job) => [
      { text: jobName(job) },
      { text: lasting(job.p50) },
      { text: lasting(job.before) },
      {
        text: job.before > 0
          ? `${(job.p50 / job.before).toLocaleString("en-US", { maximumFractionDigits: 1 })} times`
          : "",
        tone: "bad",
      },
    ]),
    count,
  };
}

const isCost = ({ name }: ReportMetric) => /(^|_)(cost|tokens)(_|$)/.test(name);
const isQueue = ({ name }: ReportMetric) => /(^|_)queue(_|$)/.test(name);

/** What is counted by the hour adds up; for the rest, its average. */
function cost({ metrics: { rows } }: ReportFacts): ReportSection {
  const costs = rows.filter((metric) => isCost(metric) && metric.hoursTotal !== null);
  return {
    title: "Cost",
    columns: [
      { title: "metric" },
      { title: "in all", ...NUMBER, after: "in all" },
      { title: "before", ...NUMBER, before: "before" },
      { title: "change", ...NUMBER },
      { title: "most", ...NUMBER, before: "most" },
    ],
    rows: costs.map((metric) => {
      const hourly = metric.name.endsWith("_hourly");
      const [now, before] = hourly
        ? [metric.hoursTotal, metric.hoursTotalBefore]
        : [metric.average, metric.averageBefore];
      return [
        { text: metricName(metric) },
        { text: metricNumber(now, metric.unit) },
        { text: metricNumber(before, metric.unit) },
        shareApart(now, before),
        { text: `${metricNumber(metric.most, metric.unit)}${hourly ? " in an hour" : ""}` },
      ];
    }),
    count: costs.length,
  };
}

function queues({ metrics: { rows } }: ReportFacts): ReportSection {
  const own = rows.filter((metric) => isQueue(metric) && !isCost(metric));
  return { title: "Queues", columns: METRIC_COLUMNS, rows: own.map(metricRow), count: own.length };
}

function metrics({ metrics: { rows, count } }: ReportFacts): ReportSection {
  const others = rows.filter((metric) => !isQueue(metric) && !isCost(metric));
  return {
    title: "Metrics",
    columns: METRIC_COLUMNS,
    rows: others.map(metricRow),
    count: count - (rows.length - others.length),
  };
}

const METRIC_COLUMNS = [
  { title: "metric" },
  { title: "now", align: "right", before: "now" },
  { title: "average", align: "right", before: "average" },
  { title: "before", align: "right", before: "before" },
  { title: "change", align: "right" },
  { title: "most", align: "right", before: "most" },
  { title: "" },
] as const;

function metricRow(metric: ReportMetric): ReportCell[] {
  const { value, average, averageBefore, most, unit, stale } = metric;
  const severity = stale ? "unknown" : metric.severity;
  return [
    { text: metricName(metric) },
    { text: stale ? "" : metricNumber(value, unit) },
    { text: metricNumber(average, unit) },
    { text: metricNumber(averageBefore, unit) },
    shareApart(average, averageBefore),
    { text: metricNumber(most, unit) },
    severity === "ok"
      ? { text: "ok", tone: "good" }
      : { text: severity, tone: severity === "critical" ? "bad" : "warn" },
  ];
}

function metricName({ name, labels, project }: ReportMetric): string {
  return `${safeName(seriesName(name, labels))} of ${safeName(project)}`;
}

function alerts({ alerts, watch }: ReportFacts, period: ReportPeriod): ReportSection {
  const sentBefore = lookedBefore(watch, period) ? alerts.sentBefore : null;
  const row = (name: string, value: number, change: ReportCell = { text: "" }, bad = false): ReportCell[] => [
    { text: name },
    bad ? badCount(value) : { text: value.toLocaleString("en-US") },
    change,
  ];
  const rows = [
    row("sent", alerts.sent, apart(alerts.sent, sentBefore, "neither")),
    ...alerts.channels.map(({ name, channel, sent }) =>
      row(`through ${safeName(name ?? channel ?? "a row that is gone")}`, sent)
    ),
    row("suppressed", alerts.suppressed),
    ...alerts.suppressedFor.map(({ reason, count }) =>
      row(safeText(`because: ${reason ?? "no reason"}`), count)
    ),
    ...alerts.waiting > 0 ? [row("waiting now", alerts.waiting)] : [],
    ...alerts.failed > 0 ? [row("refused by a vendor", alerts.failed, { text: "" }, true)] : [],
    ...alerts.unroutable > 0 ? [row("nobody takes", alerts.unroutable, { text: "" }, true)] : [],
  ];
  return {
    title: "Alerts",
    columns: [{ title: "" }, { title: "messages", ...NUMBER }, { title: "change", ...NUMBER }],
    rows,
    count: rows.length,
  };
}

function silenced({ at, silences: { count, rows } }: ReportFacts): ReportSection {
  return {
    title: "Silenced",
    columns: [{ title: "jobs" }, { title: "until" }, { title: "by", before: "by" }, { title: "why" }],
    rows: rows.map(({ project, pattern, startsAt, endsAt, schedule, by, reason }) => [
      { text: `${safeName(pattern)} in ${safeName(project ?? "every project")}` },
      {
        text: schedule !== null
          ? `again and again (${safeName(schedule)})`
          : startsAt > at
          ? `from ${formatUtc(new Date(startsAt))}`
          : endsAt === null
          ? ""
          : `until ${formatUtc(new Date(endsAt))}`,
      },
      { text: safeName(by) },
      { text: safeText(reason) },
    ]),
    count,
  };
}

function unannotated({ unannotated: { count, rows } }: ReportFacts): ReportSection {
  return {
    title: "Jobs that nobody has described",
    columns: [{ title: "job" }],
    rows: rows.map((job) => [{ text: jobName(job) }]),
    count,
  };
}

function changes({ changes: { count, rows } }: ReportFacts): ReportSection {
  return {
    title: "Changes in the inventory",
    columns: [{ title: "job" }, { title: "change" }, { title: "" }],
    rows: rows.map((change) => [
      { text: jobName(change) },
      { text: change.change },
      {
        // a command is no reading matter
        text: change.change === "command" || change.from === null || change.to === null
          ? ""
          : safeText(`${change.from} → ${change.to}`),
      },
    ]),
    count,
  };
}
