/** Which rows of `alert_config` an alert goes to. */
import type { AlertRoute, NewsEvent } from "../domain/delivery.ts";
import type { Severity } from "../domain/job.ts";

/** Severities, worst first. */
export const SEVERITY_ORDER: readonly Severity[] = ["critical", "important", "low", "info"];

/** The worst of some severities; `info` when there are none. */
export function worstSeverity(severities: readonly Severity[]): Severity {
  return SEVERITY_ORDER.find((severity) => severities.includes(severity)) ?? "info";
}

/** What decides where an alert goes. */
export interface RoutedAlert {
  severity: Severity;
  projectName: string;
  /** The row, by name or channel, that its job asks for. */
  alertChannel: string | null;
}

/**
 * The enabled rows that an alert goes to at once, whatever they want to hear of it: those that its job asks for, or
 * else those that take its project and severity. Rows that take it only as an escalation come in where there are no
 * others. `info` is logged and reported, never sent. Several of them may send to one target: {@link routeNews}.
 */
export function routeAlert<Row extends AlertRoute>(alert: RoutedAlert, rows: readonly Row[]): Row[] {
  if (alert.severity === "info") return [];
  const asked = rowsAskedFor(alert, rows);
  if (asked.length > 0) return asked;
  const fitting = rows.filter((row) => takes(row, alert));
  const atOnce = fitting.filter((row) => !row.onlyEscalations && !escalatesTo(row, alert.severity));
  if (atOnce.length > 0) return atOnce;
  const last = fitting.filter((row) => escalatesTo(row, alert.severity));
  const soonest = Math.min(...last.map((row) => row.escalationMinutes ?? Infinity));
  return last.filter((row) => row.escalationMinutes === soonest);
}

/** The rows that get one piece of news at once: of those that want to hear of it, one a target. */
export function routeNews<Row extends AlertRoute>(
  alert: RoutedAlert & { event: NewsEvent },
  rows: readonly Row[],
): Row[] {
  return onePerTarget(routeAlert(alert, rows).filter((row) => hearsOf(row, alert.event)));
}

/** Of rows that send to one target, the first. */
export function onePerTarget<Row extends AlertRoute>(rows: readonly Row[]): Row[] {
  return rows.filter((row, index) => rows.findIndex((other) => sharesTarget(other, row)) === index);
}

/** Whether what either row sends arrives at the same place. */
export function sharesTarget(a: AlertRoute, b: AlertRoute): boolean {
  return a.id === b.id || a.targetKey === b.targetKey;
}

/** Whether an enabled row takes an alert's project and severity, be it only as an escalation. */
export function takes(
  row: AlertRoute,
  { severity, projectName }: Omit<RoutedAlert, "alertChannel">,
): boolean {
  return isForAlerts(row) && takesProject(row, projectName) &&
    (row.criticality === "all" || row.criticality === severity) &&
    (row.minSeverity === null || isAsGraveAs(severity, row.minSeverity));
}

/** Whether a row is for alerts at all: one without any event is for reports only. */
function takesAlerts(row: AlertRoute): boolean {
  return row.events.length > 0;
}

/** Whether a row is enabled and hears of anything: one without events is there for reports. */
function isForAlerts({ enabled, events }: AlertRoute): boolean {
  return enabled && events.length > 0;
}

/** Whether a row is for alerts of a project. */
export function takesProject(row: AlertRoute, projectName: string): boolean {
  return takesAlerts(row) && (row.projectName === null || row.projectName === projectName);
}

/** Whether a row hears of incidents of that severity only when nobody has acknowledged them for a while. */
export function escalatesTo(row: AlertRoute, severity: Severity): boolean {
  return severity === "critical" && row.escalationMinutes !== null;
}

/** Whether a row wants to hear of an event. */
export function hearsOf(row: AlertRoute, event: NewsEvent): boolean {
  return row.events.includes(event);
}

/** A row as people know it: `"team" (discord)`. */
export function nameOfRow(row: Pick<AlertRoute, "name" | "channel">): string {
  return row.name === null ? row.channel : `"${row.name}" (${row.channel})`;
}

/**
 * A name means the rows of that name. A channel means those of its rows that would take the alert; where none would,
 * those for its project, and else all of them: a job that asks for a channel is told there.
 */
function rowsAskedFor<Row extends AlertRoute>(alert: RoutedAlert, rows: readonly Row[]): Row[] {
  const { alertChannel, projectName } = alert;
  if (alertChannel === null) return [];
  const enabled = rows.filter((row) => row.enabled && takesAlerts(row));
  const ofChannel = enabled.filter((row) => row.channel === alertChannel);
  const choices = [
    enabled.filter((row) => row.name === alertChannel),
    ofChannel.filter((row) => takes(row, alert)),
    ofChannel.filter((row) => takesProject(row, projectName)),
  ];
  return choices.find((rows) => rows.length > 0) ?? ofChannel;
}

function isAsGraveAs(severity: Severity, least: Severity): boolean {
  return SEVERITY_ORDER.indexOf(severity) <= SEVERITY_ORDER.indexOf(least);
}
