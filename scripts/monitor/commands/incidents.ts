/** `monitor incidents`: what is wrong now, and what was. */
import type { Command } from "commander";
import { z } from "zod";
import { formatUtc, oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import type { FalseAlarmRate } from "../../monitoring_api.ts";
import { type Paint, wrap } from "../../local/screen.ts";
import { type Context, EXIT, limitOption, projectOption, type Runner } from "../context.ts";
import { parseDuration, parseInstant } from "../durations.ts";
import { examples } from "../help.ts";
import type { Incident } from "../hub_tables.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { ago, agoCell, counted, relative, severityCell } from "../words.ts";

const PRESET_LIMIT = 50;
const INDENT = "    ";
const options = z.object({
  ...projectOption,
  all: z.boolean().default(false),
  since: z.string().refine(
    (text) => parseDuration(text) !== null || parseInstant(text) !== null,
    "must be a duration such as 2h or 7d, or a time such as 2026-11-21T12:00Z",
  ).optional(),
  limit: limitOption(PRESET_LIMIT),
  fail: z.boolean().default(false),
});

export function addIncidents(program: Command, runner: Runner): void {
  const command = program.command("incidents")
    .description("List open incidents: who was told, what waits and why, who took it on")
    .option("--all", "resolved ones too, newest first")
    .option("--since <when>", "those that began since then, resolved ones too: 2h, 7d, or a time (ISO 8601)")
    .option("--project <name>", "only this project")
    .option("--limit <n>", `how many (default: ${PRESET_LIMIT})`)
    .option("--fail", "exit 1 if an incident is open")
    .addHelpText(
      "after",
      examples(["incidents", "incidents --since 7d --project smoothed", "incidents --fail"]),
    );
  runner.does(command, options, async (context, { options: { project, all, since, limit, fail } }) => {
    const api = await context.api();
    const from = since === undefined
      ? undefined
      : new Date(sinceWhen(since, context.world.now())).toISOString();
    const which = all || from !== undefined ? "all" : "open";
    const [incidents, rate] = await context.progress(
      "Reading the incidents",
      async () =>
        [
          await api.listIncidents({ project, which, since: from, limit }),
          await api.falseAlarmRate(project),
        ] as const,
    );
    context.show(incidents, () => incidentLines(context, incidents, { limit, rate }));
    const open = incidents.some(({ resolved_at }) => resolved_at === null);
    return fail && open ? EXIT.unhealthy : EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
  { title: "id" },
  { title: "severity" },
  { title: "what" },
  { title: "about", narrowest: 16 },
  { title: "project", narrowest: 8 },
  { title: "since" },
  { title: "alert" },
];

function* incidentLines(
  context: Context,
  incidents: readonly Incident[],
  { limit, rate }: { limit: number; rate: FalseAlarmRate },
): Generator<string> {
  const { stdout, world } = context;
  const { paint } = stdout;
  if (incidents.length === 0) {
    yield paint.green("No open incident.");
    return;
  }
  const [head = "", ...rows] = tableLines(
    stdout,
    COLUMNS,
    incidents.map((incident) => incidentCells(context, incident, world.now())),
  );
  yield head;
  for (const [index, row] of rows.entries()) {
    yield row;
    const incident = incidents[index];
    if (incident === undefined) continue;
    for (const text of [incident.summary, ...detailsOf(incident, world.now())]) {
      const lines = wrap(oneLine(text), stdout.width - INDENT.length);
      yield* lines.map((line) => paint.dim(`${INDENT}${line}`));
    }
  }
  yield "";
  const open = incidents.filter(({ resolved_at }) => resolved_at === null).length;
  const resolved = incidents.length === open ? "" : `, ${incidents.length - open} resolved`;
  const cut = incidents.length === limit ? paint.dim(` · the first ${limit}; more with --limit`) : "";
  yield `${counted(open, "open incident")}${resolved}${cut}${paint.dim(rateOf(rate))}`;
}

function sinceWhen(since: string, now: number): number {
  const minutes = parseDuration(since);
  return minutes === null ? parseInstant(since) ?? now : now - minutes * 60_000;
}

function rateOf({ incidents, false_alarms, rate }: FalseAlarmRate): string {
  if (rate === null) return "";
  return ` · false alarms: ${false_alarms} of ${incidents} in 90 days (${Math.round(rate * 100)} %)`;
}

/** Who does something about it, what keeps it quiet, and whom it was told; a line each. */
function* detailsOf(incident: Incident, now: number): Generator<string> {
  const { acknowledged_at, acknowledged_by, acknowledgement_note, silenced, false_alarm_by } = incident;
  if (acknowledged_at !== null) {
    const note = acknowledgement_note === null ? "" : `: ${acknowledgement_note}`;
    yield `acknowledged by ${acknowledged_by} ${ago(acknowledged_at, now)}${note}`;
  }
  if (silenced !== null) {
    yield `silenced until ${formatUtc(new Date(silenced.until))} by ${silenced.by}: ${silenced.reason}`;
  }
  if (incident.resolved_by !== null) yield `closed by ${incident.resolved_by}`;
  const { false_alarms } = incident;
  if (false_alarm_by !== null) yield `a false alarm, says ${false_alarm_by}`;
  if (false_alarms !== null && false_alarms.false_alarms > 0) {
    yield `${false_alarms.false_alarms} of ${false_alarms.incidents} such incidents in 90 days were false alarms`;
  }
  const sent = incident.messages.filter(({ state }) => state === "sent");
  if (sent.length > 0) yield `told: ${sent.map((message) => sentText(message, now)).join(", ")}`;
  for (const { row, channel, event, reason } of incident.messages.filter(({ state }) => state === "due")) {
    yield `waits: ${row ?? channel ?? "?"} (${event}): ${reason ?? "goes out within the minute"}`;
  }
  for (const { row, event, reason } of incident.messages.filter(isLost)) {
    yield `not told: ${row ?? "nobody"} (${event}): ${reason ?? "no reason given"}`;
  }
}

function isLost({ state }: Incident["messages"][number]): boolean {
  return state === "failed" || state === "unroutable";
}

function sentText({ row, channel, event, count, at }: Incident["messages"][number], now: number): string {
  const times = count === 1 ? "" : ` ${count} times`;
  return `${row ?? channel ?? "?"} (${event}${times}, ${relative(now - Date.parse(at))})`;
}

function incidentCells({ stdout: { paint } }: Context, incident: Incident, now: number): Cell[] {
  const { severity, code, project_name, opened_at, resolved_at, resolution } = incident;
  const open = resolved_at === null;
  return [
    { text: incident.id.slice(0, 8), paint: paint.dim },
    open ? severityCell(paint, severity) : { text: resolution ?? "resolved", paint: paint.green },
    { text: code, paint: open ? paint.bold : paint.dim },
    { text: subjectOf(incident), paint: paint.bold },
    { text: project_name },
    agoCell(paint, opened_at, now),
    alertCell(paint, incident),
  ];
}

function subjectOf({ subject_kind, subject_id, job_name, job_user, project_name }: Incident): string {
  if (subject_kind === "metric") return subject_id.slice(subject_id.indexOf("/") + 1);
  if (subject_kind !== "job") return subject_kind === "project" ? `project ${project_name}` : subject_kind;
  const as = job_user === null || job_user === "postgres" ? "" : ` (as ${job_user})`;
  return `${job_name ?? "a deleted job"}${as}`;
}

/** How the worst of its messages stands, and whether somebody does something about it. */
function alertCell(paint: Paint, { alerts, messages, acknowledged_at, resolved_at }: Incident): Cell {
  if (alerts.includes("unroutable")) return { text: "no channel", paint: paint.red };
  if (alerts.includes("failed") && !alerts.includes("sent")) return { text: "refused", paint: paint.red };
  const due = messages.filter(({ state }) => state === "due");
  if (due.length > 0 && due.every(({ reason }) => reason !== null)) {
    return { text: "waits", paint: paint.yellow };
  }
  if (alerts.includes("due")) return { text: "due", paint: paint.yellow };
  if (acknowledged_at !== null && resolved_at === null) return { text: "acknowledged", paint: paint.cyan };
  return alerts.includes("sent") ? { text: "sent", paint: paint.green } : { text: "none", paint: paint.dim };
}
