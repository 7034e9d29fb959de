/** `monitor quick-start`: the first look, and what to do next. */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import type { Overview } from "../../monitoring_api.ts";
import { type Context, EXIT, type Runner } from "../context.ts";
import { examples, task } from "../help.ts";
import type { Incident, Project } from "../hub_tables.ts";
import { type Cell, type Column, cutToWidth, tableLines } from "../table.ts";
import { ago, countCell, counted } from "../words.ts";
import { COUNT_COLUMNS, countCells } from "./check.ts";
import { connectionLines } from "./project.ts";

export function addQuickStart(program: Command, runner: Runner): void {
  const command = program.command("quick-start")
    .description("An overview: the connection, the projects, their jobs, and what to do next")
    .addHelpText("after", examples(["quick-start", "quick-start --env"]));
  runner.does(command, z.object({}), async (context) => {
    const api = await context.api();
    const overview = await context.progress("Looking at every project", () => api.quickStart());
    context.show(overview, () => overviewLines(context, overview));
    return overview.connection.ok ? EXIT.fine : EXIT.cannot;
  });
}

function* overviewLines(context: Context, overview: Overview): Generator<string> {
  const { stdout: { paint }, world } = context;
  const { connection, audit, projects, incidents, last_check_at } = overview;
  const title = "Supabase Job Monitor";
  yield "";
  yield `  ${paint.bold(title)} ${paint.dim("· quick start")}`;
  yield `  ${paint.dim("─".repeat(title.length + 14))}`;
  yield* indented(connectionLines(context, connection));
  if (audit === null) {
    yield "";
    yield `  ${paint.red("The connection does not work yet.")} Set it right, then: ${
      paint.cyan(task("project test"))
    }`;
    return;
  }
  const last = last_check_at === null ? "none has seen every project yet" : ago(last_check_at, world.now());
  yield `  ${paint.dim("Last check".padEnd(10))} ${last}`;
  yield "";
  yield* indented(tableLines(context.stdout, COLUMNS, rowsOf(context, overview)));
  yield "";
  yield `  Discovered ${counted(audit.jobs, "job")} and ${
    counted(audit.edge_functions, "edge function")
  } in ` +
    `${counted(audit.projects.length, "project")}` +
    (audit.changes > 0 ? `, ${counted(audit.changes, "change")}.` : ".");
  for (const incident of incidents.slice(0, SHOWN_INCIDENTS)) yield `  ${incidentLine(context, incident)}`;
  yield* nextSteps(context, projects, incidents.length);
}

const SHOWN_INCIDENTS = 5;

function incidentLine({ stdout: { paint, width } }: Context, incident: Incident): string {
  const { severity, code, job_name, project_name, summary } = incident;
  const what = oneLine(`${code}: ${job_name ?? "all jobs"} in ${project_name}`);
  const why = cutToWidth(oneLine(summary), Math.max(20, width - what.length - 8));
  return `${paint[severity === "critical" ? "red" : "yellow"]("●")} ${paint.bold(what)}  ${paint.dim(why)}`;
}

const COLUMNS: readonly Column[] = [
  { title: "project" },
  ...COUNT_COLUMNS,
  { title: "not checked yet", align: "right" },
  { title: "edge functions", align: "right" },
  { title: "", narrowest: 20 },
];

function rowsOf(context: Context, { projects, audit }: Overview): Cell[][] {
  const { paint } = context.stdout;
  return projects.filter(({ enabled }) => enabled).map((project) => {
    const found = audit?.projects.find((one) => one.project === project.name);
    const errors = found?.errors.map(({ message }) => message).join("; ") ?? "";
    return [
      { text: project.name, paint: errors === "" ? paint.bold : paint.red },
      ...countCells(context, project),
      { text: unchecked(project) },
      countCell(paint, project.edge_functions, "bold"),
      { text: errors, paint: paint.red },
    ];
  });
}

function unchecked({ jobs, healthy, failed, missed, unknown, paused }: Project): string {
  const count = jobs - healthy - failed - missed - unknown - paused;
  return count > 0 ? String(count) : "";
}

function* nextSteps(
  { stdout: { paint } }: Context,
  projects: readonly Project[],
  incidents: number,
): Generator<string> {
  const project = projects.find(({ jobs }) => jobs > 0)?.name ?? "smoothed";
  const steps: [string, string][] = [
    ["check", "look at every project now"],
    ["jobs", "every job, its schedule and how it is"],
    ...(incidents > 0 ? [["incidents", "what is wrong, and who was told"] as [string, string]] : []),
    [`history ${project}`, "the last runs"],
    ["annotate <job> --description …", "say what a job does and how much it matters"],
    ["alert test discord", "does the channel work?"],
  ];
  yield "";
  yield `  ${paint.bold("Next")}`;
  const width = Math.max(...steps.map(([command]) => task(command).length)) + 2;
  for (const [command, what] of steps) {
    yield `    ${paint.cyan(task(command).padEnd(width))} ${paint.dim(what)}`;
  }
  yield "";
}

function* indented(lines: Iterable<string>): Generator<string> {
  for (const line of lines) yield `  ${line}`;
}
