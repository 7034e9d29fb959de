/** How things are told on the screen: states with symbol and colour, times, schedules. */
import { formatDuration, formatUtc, oneLine } from "../../supabase/functions/_shared/rules/text.ts";
import { describeSchedule, parseSchedule } from "../../supabase/functions/_shared/rules/schedule.ts";
import type { JobStatus, Severity } from "../../supabase/functions/_shared/domain/job.ts";
import type { Paint } from "../local/screen.ts";
import type { Job } from "./hub_tables.ts";
import type { Cell } from "./table.ts";

const DAY_MS = 24 * 60 * 60_000;

type Colour = keyof Paint;

const STATUSES: Readonly<
  Record<JobStatus | "success" | "none", { symbol: string; colour: Colour; text: string }>
> = {
  healthy: { symbol: "✓", colour: "green", text: "healthy" },
  success: { symbol: "✓", colour: "green", text: "success" },
  failed: { symbol: "✗", colour: "red", text: "failed" },
  missed: { symbol: "!", colour: "yellow", text: "missed" },
  unknown: { symbol: "?", colour: "magenta", text: "unknown" },
  paused: { symbol: "-", colour: "cyan", text: "paused" },
  none: { symbol: "·", colour: "dim", text: "not checked" },
};

const SEVERITIES: Readonly<Record<Severity, Colour>> = {
  critical: "red",
  important: "yellow",
  low: "cyan",
  info: "dim",
};

/** `✗ failed` in red; `null` is a job that no check has judged, which is not healthy either. */
export function statusCell(paint: Paint, status: JobStatus | "success" | null): Cell {
  const { symbol, colour, text } = STATUSES[status ?? "none"];
  return { text: `${symbol} ${text}`, paint: paint[colour] };
}

/** Kinds of change that are a word for what happened; the others name what is different now. */
const HAPPENED: readonly string[] = ["added", "removed", "returned", "paused", "resumed"];

/** A change of the inventory: `  sync_leads in smoothed: command changed`. */
export function changeLine(
  paint: Paint,
  { project, job, change }: { project: string; job: string; change: string },
): string {
  const words = HAPPENED.includes(change) ? change : `${change.replaceAll("_", " ")} changed`;
  return `  ${oneLine(job)} ${paint.dim(`in ${project}`)}: ${paint.yellow(words)}`;
}

/** Colour of a state in a count: a zero is dimmed. */
export function countCell(paint: Paint, count: number, colour: Colour): Cell {
  return { text: String(count), paint: paint[count === 0 ? "dim" : colour] };
}

export function severityCell(paint: Paint, severity: Severity): Cell {
  return { text: severity, paint: paint[SEVERITIES[severity]] };
}

/** `12 min ago, 11:48 UTC`; with the date where that is more than a day ago. */
export function ago(instant: string, now: number): string {
  const then = Date.parse(instant);
  const utc = formatUtc(new Date(then - then % 1000));
  const when = Math.abs(now - then) < DAY_MS ? utc.slice(11) : `${utc.slice(0, 16)} UTC`;
  return `${relative(now - then)}, ${when}`;
}

/** {@link ago}, in its largest unit where there is no room for more; empty for `null`. */
export function agoCell(paint: Paint, instant: string | null, now: number): Cell {
  if (instant === null) return { text: "" };
  return { text: ago(instant, now), short: roughly(relative(now - Date.parse(instant))), paint: paint.dim };
}

/** `4 h 38 min ago` → `4 h ago`. */
function roughly(text: string): string {
  return text.replace(/^((?:in )?\d+ \w+) \d+ \w+/, "$1");
}

/** `12 min ago`, `just now`, `in 3 h`. */
export function relative(distanceMs: number): string {
  if (distanceMs >= 0 && distanceMs < 1000) return "just now";
  return distanceMs < 0 ? `in ${formatDuration(-distanceMs)}` : `${formatDuration(distanceMs)} ago`;
}

/** Whether a zone needs no word of its own. */
export function isUtc(timeZone: string): boolean {
  return /^(etc\/)?(gmt|utc)$/i.test(timeZone);
}

/** `at 09:00 every day (Europe/Berlin)`; a job without a schedule has none. */
export function scheduleInWords({ schedule, time_zone, pg_cron_version }: Job): string {
  if (schedule === null) return "";
  const parsed = parseSchedule(schedule, pg_cron_version === null ? {} : { pgCronVersion: pg_cron_version });
  const zone = time_zone === null || isUtc(time_zone) || parsed.kind !== "cron" ? "" : ` (${time_zone})`;
  return `${describeSchedule(parsed)}${zone}`;
}

/** Whether nobody has said anything about a job. */
export function isUnannotated({ description, success_criteria, criticality }: Job): boolean {
  return description === null && success_criteria === null && criticality === null;
}

/** `1 job`, `3 jobs`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Warnings shown at once. */
const WARNINGS_SHOWN = 10;

/** What is doubtful about jobs, a line each. */
export function* warningLines(
  paint: Paint,
  warnings: readonly { project_name: string; job_name: string; warning: string }[],
): Generator<string> {
  if (warnings.length === 0) return;
  yield "";
  for (const { project_name, job_name, warning } of warnings.slice(0, WARNINGS_SHOWN)) {
    yield `  ${paint.yellow("!")} ${paint.bold(oneLine(job_name))} ${paint.dim(`in ${project_name}`)} ${
      oneLine(warning)
    }`;
  }
  const more = warnings.length - WARNINGS_SHOWN;
  if (more > 0) yield paint.dim(`  and ${counted(more, "more warning")}: --json`);
}
