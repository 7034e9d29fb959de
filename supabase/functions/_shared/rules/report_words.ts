/** Words and numbers of reports: shares, changes, durations, names made safe. */
import type { ReportCell, RunCounts, Tone } from "../domain/report.ts";
import { formatMetric, formatNumber } from "./metric_text.ts";
import { redact } from "./redact.ts";
import { cut, formatDuration, oneLine } from "./text.ts";

/** Characters of a name or a message in a report. */
const NAME_LIMIT = 80;
const MESSAGE_LIMIT = 200;

/** A name that anybody may have written, on one line, without secrets, cut. */
export function safeName(name: string): string {
  return cut(oneLine(redact(name.slice(0, 1_000))), NAME_LIMIT) || "(no name)";
}

/** The same of a sentence. */
export function safeText(text: string): string {
  return cut(oneLine(redact(text.slice(0, 2_000))), MESSAGE_LIMIT);
}

/** `sync_leads in smoothed`; of a project itself, its name. */
export function jobName({ project, name }: { project: string; name: string }): string {
  return name === project ? safeName(project) : `${safeName(name)} in ${safeName(project)}`;
}

/** Of the runs that were due and whose end is known, the part that succeeded: 0 to 1, or `null`. */
export function uptimeOf({ successes, failures, missed }: RunCounts): number | null {
  const due = successes + failures + missed;
  return due > 0 ? Math.max(0, successes) / due : null;
}

/** `99.95 %`; never 100 where anything failed. */
export function formatShare(share: number): string {
  if (share >= 1) return "100 %";
  // rounding must not make a failure disappear
  return `${Math.min(share * 100, 99.99).toFixed(2)} %`;
}

/** A share of successes with its bar. */
export function shareCell(share: number | null): ReportCell {
  if (share === null) return { text: "unknown" };
  return { text: formatShare(share), bar: share, tone: shareTone(share) };
}

function shareTone(share: number): Tone {
  if (share >= 0.999) return "good";
  return share >= 0.97 ? "warn" : "bad";
}

/** `+0.25 points`, `-1.2 points`; empty where either is unknown or nothing moved. */
export function sharesApart(now: number | null, before: number | null): ReportCell {
  if (now === null || before === null) return { text: "" };
  const points = Math.round((now - before) * 10_000) / 100;
  if (points === 0) return { text: "unchanged" };
  return { text: `${signed(points)} points`, tone: points > 0 ? "good" : "bad" };
}

/** How a count moved: `+12 (+40 %)`. `worse`: which way is bad. */
export function apart(
  now: number | null,
  before: number | null,
  worse: "more" | "less" | "neither",
): ReportCell {
  if (now === null || before === null) return { text: "" };
  const difference = now - before;
  if (difference === 0) return { text: "unchanged" };
  const share = before === 0 ? "" : ` (${signedPercent(difference / Math.abs(before))})`;
  const bad = worse === "neither" ? undefined : difference > 0 === (worse === "more");
  return {
    text: `${signed(difference)}${share}`,
    ...bad === undefined ? {} : { tone: bad ? "bad" : "good" },
  };
}

/** How a number moved, as its share only. */
export function shareApart(now: number | null, before: number | null): ReportCell {
  if (now === null || before === null || before === 0) return { text: "" };
  const share = (now - before) / Math.abs(before);
  return { text: Math.abs(share) < 0.005 ? "unchanged" : signedPercent(share) };
}

function signed(value: number): string {
  return `${value > 0 ? "+" : ""}${formatNumber(value)}`;
}

function signedPercent(share: number): string {
  // not -0
  const percent = Math.round(share * 100) || 0;
  return `${percent > 0 ? "+" : ""}${formatNumber(percent)} %`;
}

/** A duration, or nothing. */
export function lasting(milliseconds: number | null): string {
  if (milliseconds === null) return "";
  return milliseconds < 10_000 && milliseconds > 0
    ? `${formatNumber(Number((milliseconds / 1000).toPrecision(2)))} s`
    : formatDuration(milliseconds);
}

/** A metric's number, or nothing. */
export function metricNumber(value: number | null, unit: string | null): string {
  return value === null ? "" : formatMetric(value, unit);
}

/** `1 job`, `2,000 jobs`. */
export function counted(count: number, singular: string, plural = `${singular}s`): string {
  return `${formatNumber(count)} ${count === 1 ? singular : plural}`;
}

/** A count that is bad as soon as there is any. */
export function badCount(count: number): ReportCell {
  return count > 0 ? { text: formatNumber(count), tone: "bad" } : { text: "0" };
}

/** A bar of ten signs. */
export function barText(share: number): string {
  const full = Math.min(10, Math.max(0, Math.floor(share * 10)));
  return "█".repeat(full) + "░".repeat(10 - full);
}
