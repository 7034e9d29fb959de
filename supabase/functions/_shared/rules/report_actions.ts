/** What a person should do because of a report, worst first. */
import type { ReportAction, ReportFacts, ReportPeriod } from "../domain/report.ts";
import type { Severity } from "../domain/job.ts";
import type { ErrorGroup } from "./fingerprint.ts";
import { seriesName } from "./metric_text.ts";
import { endOf, periodInWords } from "./report_period.ts";
import { counted, formatShare, jobName, lasting, safeName, safeText, uptimeOf } from "./report_words.ts";
import { SEVERITY_ORDER } from "./routing.ts";
import { formatDuration, formatUtc } from "./text.ts";

const HOUR = 3_600_000;
/** A check each 15 minutes: after so long without a complete one nobody knows. */
const UNCHECKED_MS = HOUR;
/** Below it a job's failures are worth a look even where no incident is open. */
const UNRELIABLE = 0.95;
/** More false alarms than this teach people to look away. */
const FALSE_ALARM_RATE = 0.2;
const FALSE_ALARMS = 3;
const LONG_SILENCE_MS = 7 * 24 * HOUR;
/** Of one kind, so that no kind drowns the others. */
const OF_A_KIND = 5;

/**
 * What to do, the gravest first; among equals, what keeps us from seeing before what we see.
 *
 * @param errors Of the period.
 */
export function reportActions(
  facts: ReportFacts,
  period: ReportPeriod,
  errors: readonly ErrorGroup[],
): ReportAction[] {
  const actions = [
    ...watching(facts),
    ...unwatched(facts, period),
    ...unreadable(facts),
    ...telling(facts),
    ...openIncidents(facts),
    ...unreliable(facts),
    ...uncollected(facts),
    ...metrics(facts),
    ...newErrors(errors, period),
    ...slowing(facts),
    ...upkeep(facts),
  ];
  const rank = ({ severity }: ReportAction) => SEVERITY_ORDER.indexOf(severity);
  return actions.sort((a, b) => rank(a) - rank(b));
}

/** Whether anybody is looking. */
function watching({ at, monitor, totals, projects }: ReportFacts): ReportAction[] {
  const { lastCompleteAt } = monitor;
  if (projects.count === 0) {
    return [{
      severity: "important",
      text:
        "Nothing is watched yet: give the hub a project (docs/DEPLOY.md), then run deno task monitor audit",
    }];
  }
  if (lastCompleteAt === null) {
    return [{
      severity: "critical",
      text: "No check has ever seen every project: run deno task monitor check, then doctor",
    }];
  }
  if (at - lastCompleteAt > UNCHECKED_MS) {
    const since = formatUtc(new Date(lastCompleteAt));
    return [{
      severity: "critical",
      text: `No check has seen every project since ${since} (${
        formatDuration(at - lastCompleteAt)
      }): run deno task monitor doctor`,
    }];
  }
  if (totals.jobs === 0) {
    return [{ severity: "low", text: "No job is known yet: run deno task monitor audit" }];
  }
  return [];
}

/** Whether anybody looked in the time that it tells of. */
function unwatched({ watch, projects }: ReportFacts, period: ReportPeriod): ReportAction[] {
  const { firstLookAt, unwatchedMs, longestMs, longestFrom } = watch;
  if (projects.count === 0 || firstLookAt === null) return [];
  if (firstLookAt >= endOf(period)) {
    return [{
      severity: "low",
      text: `Nobody looked before ${formatUtc(new Date(firstLookAt))}: of ${
        periodInWords(period)
      } only what pg_cron still had is known`,
    }];
  }
  if (unwatchedMs === 0 || longestFrom === null) return [];
  const longest = unwatchedMs > longestMs ? `, ${formatDuration(longestMs)} of it at a stretch` : "";
  return [{
    severity: "important",
    text: `Nobody looked for ${formatDuration(unwatchedMs)}${longest} from ${
      formatUtc(new Date(longestFrom))
    }: what ran then was read afterwards, what went wrong was told late. Find out why: deno task monitor doctor`,
  }];
}

function unreadable({ projects }: ReportFacts): ReportAction[] {
  return projects.rows.filter(({ status }) => status === "error").slice(0, OF_A_KIND).map((
    { name, error },
  ) => ({
    severity: "critical",
    text: `Make ${safeName(name)} readable again: ${safeText(error ?? "no reason given")}`,
  }));
}

/** Whether alerts arrive. */
function telling({ monitor, alerts }: ReportFacts): ReportAction[] {
  const actions: ReportAction[] = monitor.deadChannels.slice(0, OF_A_KIND).map(({ name, reason }) => ({
    severity: "critical",
    text: `Set right where alerts of ${safeName(name)} go, nothing gets through: ${safeText(reason ?? "")}`,
  }));
  if (monitor.routes === 0) {
    actions.push({
      severity: "critical",
      text: "Nobody is alerted: alert_config has no enabled row that takes alerts",
    });
  }
  if (alerts.unroutable > 0) {
    actions.push({
      severity: "critical",
      text: `${counted(alerts.unroutable, "alert")} nobody takes: give alert_config a row for them`,
    });
  }
  return actions;
}

/** What open incidents are about: nothing is to be told twice. */
function subjectsOf(rows: ReportFacts["incidents"]["openRows"]): Set<string> {
  return new Set(rows.map(({ project, subject }) => keyOf(project, subject)));
}

/** The same for the labels of a series in any order: the database keeps them in its own. */
function keyOf(project: string, subject: string): string {
  return JSON.stringify([project, ...subject.split(/[ ,()]+/).sort()]);
}

function openIncidents({ at, incidents, projects }: ReportFacts): ReportAction[] {
  // why a project cannot be read is told once
  const told = new Set(projects.rows.filter(({ status }) => status === "error").map(({ error }) => error));
  const rows = incidents.openRows.filter(({ summary }) => !told.has(summary));
  const shown = rows.slice(0, OF_A_KIND).map((incident): ReportAction => {
    const { subject, project, code, owner, acknowledgedBy, openedAt } = incident;
    const who = acknowledgedBy !== null
      ? `${safeName(acknowledgedBy)} is on it`
      : owner === null
      ? "nobody is on it"
      : `ask ${safeName(owner)}`;
    return {
      severity: incident.severity,
      text: `${code.replaceAll("_", " ").toUpperCase()}: ${jobName({ project, name: subject })} for ${
        formatDuration(at - openedAt)
      } (${who}): ${safeText(incident.summary)}`,
    };
  });
  const rest = incidents.open - shown.length - (incidents.openRows.length - rows.length);
  if (rest <= 0 || shown.length === 0) return shown;
  const severity: Severity = rows[shown.length]?.severity ?? "low";
  return [...shown, {
    severity,
    text: `${counted(rest, "further open incident")}: deno task monitor incidents`,
  }];
}

/** Jobs that fail again and again; those with an open incident are told by that. */
function unreliable({ troubled, incidents }: ReportFacts): ReportAction[] {
  const told = subjectsOf(incidents.openRows);
  return troubled.rows.flatMap((job): ReportAction[] => {
    const uptime = uptimeOf(job.now);
    if (!job.here || uptime === null || uptime >= UNRELIABLE) return [];
    if (told.has(keyOf(job.project, job.name))) return [];
    const owner = job.owner === null ? "" : ` (${safeName(job.owner)})`;
    const lost = [
      ...job.now.failures > 0 ? [counted(job.now.failures, "failure")] : [],
      ...job.now.missed > 0 ? [`${counted(job.now.missed, "slot")} missed`] : [],
    ].join(", ");
    return [{
      severity: job.criticality === "critical" ? "important" : "low",
      text: `Find out why ${jobName(job)}${owner} is unreliable: ${
        formatShare(uptime)
      } of its runs succeeded, ${lost}`,
    }];
  }).slice(0, OF_A_KIND);
}

/** Where every number is old, nobody collects them any more. */
function uncollected({ metrics: { rows } }: ReportFacts): ReportAction[] {
  if (rows.length === 0 || rows.some(({ stale }) => !stale)) return [];
  const last = Math.max(...rows.map(({ readAt }) => readAt));
  return [{
    severity: "important",
    text: `No metric has been read since ${formatUtc(new Date(last))}: run deno task monitor doctor`,
  }];
}

/** Metrics past their thresholds; those with an open incident are told by that. */
function metrics(facts: ReportFacts): ReportAction[] {
  const { rows, failing } = facts.metrics;
  const told = subjectsOf(facts.incidents.openRows);
  const alarms = rows.flatMap(({ alarm, name, labels, project, summary }): ReportAction[] =>
    alarm === "none" || told.has(keyOf(project, seriesName(name, labels))) ? [] : [{
      severity: alarm === "critical" ? "critical" : "important",
      text: `${safeName(seriesName(name, labels))} of ${safeName(project)} is ${
        alarm === "critical" ? "critical" : "a warning"
      }: ${safeText(summary ?? "")}`,
    }]
  );
  const broken = failing.slice(0, OF_A_KIND).map(({ name, project, error }): ReportAction => ({
    severity: "low",
    text: `Mend the query of ${safeName(name)} for ${safeName(project)}: ${safeText(error ?? "")}`,
  }));
  return [...alarms.slice(0, OF_A_KIND), ...broken];
}

function newErrors(errors: readonly ErrorGroup[], { from }: ReportPeriod): ReportAction[] {
  const since = Date.parse(`${from}T00:00:00Z`);
  const fresh = errors.filter(({ firstAt }) => firstAt >= since);
  return fresh.slice(0, 3).map(({ fingerprint, count, jobs: [job] }) => ({
    severity: "low",
    text: `Look at a new error, ${count === 1 ? "once" : `${counted(count, "time")}`}${
      job === undefined ? "" : ` in ${jobName({ project: job.project, name: job.job })}`
    }: ${fingerprint}`,
  }));
}

function slowing({ slowing }: ReportFacts): ReportAction[] {
  return slowing.rows.slice(0, 3).map((job) => ({
    severity: "low",
    text: `See why ${jobName(job)} takes longer: usually ${lasting(job.p50)}, before ${lasting(job.before)}`,
  }));
}

/** What nobody has to do today, and somebody some day. */
function upkeep({ at, unannotated, silences, incidents }: ReportFacts): ReportAction[] {
  const actions: ReportAction[] = [];
  if (unannotated.count > 0) {
    actions.push({
      severity: "low",
      text: `Say what ${counted(unannotated.count, "job")} ${
        unannotated.count === 1 ? "does" : "do"
      } and how much that matters: deno task monitor annotate`,
    });
  }
  const long = silences.rows.filter(({ startsAt, schedule }) =>
    schedule === null && at - startsAt > LONG_SILENCE_MS
  );
  for (const { pattern, project, by, startsAt } of long.slice(0, 3)) {
    actions.push({
      severity: "low",
      text: `Is the silence over ${safeName(pattern)} in ${
        safeName(project ?? "every project")
      } still wanted? ${safeName(by)} made it ${formatDuration(at - startsAt)} ago`,
    });
  }
  const { falseAlarms, opened } = incidents;
  if (falseAlarms >= FALSE_ALARMS && falseAlarms / opened > FALSE_ALARM_RATE) {
    actions.push({
      severity: "low",
      text:
        `${falseAlarms} of ${opened} incidents were false alarms: set grace_minutes, failure_threshold or thresholds`,
    });
  }
  return actions;
}
