/** `monitor incidents`: what is wrong now, and what was. */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import { type Paint, wrap } from "../../local/screen.ts";
import { type Context, EXIT, limitOption, projectOption, type Runner } from "../context.ts";
import { examples } from "../help.ts";
import type { Incident } from "../hub_tables.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { agoCell, counted, severityCell } from "../words.ts";

const PRESET_LIMIT = 50;
const INDENT = "    ";
const options = z.object({
  ...projectOption,
  all: z.boolean().default(false),
  limit: limitOption(PRESET_LIMIT),
  fail: z.boolean().default(false),
});

export function addIncidents(program: Command, runner: Runner): void {
  const command = program.command("incidents")
    .description("List open incidents, and whether anybody was told")
    .option("--all", "resolved ones too, newest first")
    .option("--project <name>", "only this project")
    .option("--limit <n>", `how many (default: ${PRESET_LIMIT})`)
    .option("--fail", "exit 1 if an incident is open")
    .addHelpText("after", examples(["incidents", "incidents --all --project smoothed", "incidents --fail"]));
  runner.does(command, options, async (context, { options: { project, all, limit, fail } }) => {
    const api = await context.api();
    const incidents = await context.progress(
      "Reading the incidents",
      () => api.listIncidents({ project, which: all ? "all" : "open", limit }),
    );
    context.show(incidents, () => incidentLines(context, incidents, { limit }));
    const open = incidents.some(({ resolved_at }) => resolved_at === null);
    return fail && open ? EXIT.unhealthy : EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
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
  { limit }: { limit: number },
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
    const why = wrap(oneLine(incidents[index]?.summary ?? ""), stdout.width - INDENT.length);
    yield* why.map((line) => paint.dim(`${INDENT}${line}`));
  }
  yield "";
  const open = incidents.filter(({ resolved_at }) => resolved_at === null).length;
  const resolved = incidents.length === open ? "" : `, ${incidents.length - open} resolved`;
  const cut = incidents.length === limit ? paint.dim(` · the first ${limit}; more with --limit`) : "";
  yield `${counted(open, "open incident")}${resolved}${cut}`;
}

function incidentCells({ stdout: { paint } }: Context, incident: Incident, now: number): Cell[] {
  const { severity, code, project_name, opened_at, resolved_at, resolution } = incident;
  const open = resolved_at === null;
  return [
    open ? severityCell(paint, severity) : { text: resolution ?? "resolved", paint: paint.green },
    { text: code, paint: open ? paint.bold : paint.dim },
    { text: subjectOf(incident), paint: paint.bold },
    { text: project_name },
    agoCell(paint, opened_at, now),
    alertCell(paint, incident.alerts),
  ];
}

function subjectOf({ subject_kind, subject_id, job_name, job_user, project_name }: Incident): string {
  if (subject_kind === "metric") return subject_id.slice(subject_id.indexOf("/") + 1);
  if (subject_kind !== "job") return subject_kind === "project" ? `project ${project_name}` : subject_kind;
  const as = job_user === null || job_user === "postgres" ? "" : ` (as ${job_user})`;
  return `${job_name ?? "a deleted job"}${as}`;
}

/** How the worst of its messages stands. */
function alertCell(paint: Paint, alerts: Incident["alerts"]): Cell {
  if (alerts.includes("unroutable")) return { text: "no channel", paint: paint.red };
  if (alerts.includes("failed")) return { text: "refused", paint: paint.red };
  if (alerts.includes("due")) return { text: "due", paint: paint.yellow };
  return alerts.includes("sent") ? { text: "sent", paint: paint.green } : { text: "none", paint: paint.dim };
}
