/** `monitor project`: which projects are watched, and can they be read? */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import type { ConnectionReport, Reachability } from "../../monitoring_api.ts";
import type { AuditReport } from "../answers.ts";
import { type Context, EXIT, type Runner } from "../context.ts";
import { examples } from "../help.ts";
import type { Project } from "../hub_tables.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { agoCell, countCell, counted } from "../words.ts";

export function addProject(program: Command, runner: Runner): void {
  const project = program.command("project").helpCommand(false).description(
    "The watched projects, and whether they can be read",
  );
  const list = project.command("list")
    .description("Every project that the hub knows")
    .addHelpText("after", examples(["project list", "project list --json"]));
  runner.does(list, z.object({}), async (context) => {
    const api = await context.api();
    const projects = await context.progress("Reading the projects", () => api.listProjects());
    context.show(projects, () => projectLines(context, projects));
    return EXIT.fine;
  });
  const test = project.command("test")
    .description("Try the connection to the functions, the hub and every project; exit 2 if one fails")
    .argument("[name]", "only this project")
    .addHelpText("after", examples(["project test", "project test smoothed", "project test --env"]));
  runner.does(test, z.object({}), async (context, { args: [name] }) => {
    const api = await context.api();
    const connection = await context.progress("Trying the connection", () => api.testConnection());
    if (context.format === "text") {
      for (const line of connectionLines(context, connection)) context.stdout.print(line);
    }
    const audit = connection.functions.ok
      ? await context.progress(
        name === undefined ? "Reading every project" : `Reading ${name}`,
        () =>
          name === undefined
            ? api.auditAllProjects({ dryRun: true })
            : api.auditProject(name, { dryRun: true }),
      )
      : null;
    context.show(
      { connection, projects: audit?.projects ?? null },
      () => audit === null ? [] : readableLines(context, audit),
    );
    return connection.ok && audit?.errors === 0 ? EXIT.fine : EXIT.cannot;
  });
}

const LIST_COLUMNS: readonly Column[] = [
  { title: "project" },
  { title: "state" },
  { title: "jobs", align: "right" },
  { title: "edge functions", align: "right" },
  { title: "open incidents", align: "right" },
  { title: "last read" },
  { title: "ref" },
  { title: "", narrowest: 30 },
];

function* projectLines(context: Context, projects: readonly Project[]): Generator<string> {
  const { stdout, world } = context;
  const { paint } = stdout;
  if (projects.length === 0) {
    yield "The hub knows no project yet: audit looks for them.";
    return;
  }
  yield* tableLines(
    stdout,
    LIST_COLUMNS,
    projects.map((project) => [
      { text: project.name, paint: paint.bold },
      stateCell(context, project),
      countCell(paint, project.jobs, "bold"),
      countCell(paint, project.edge_functions, "bold"),
      countCell(paint, project.open_incidents, "red"),
      agoCell(paint, project.last_read_at, world.now()),
      { text: project.project_ref ?? "", paint: paint.dim },
      { text: project.status === "error" ? project.error_message ?? "" : "", paint: paint.red },
    ]),
  );
}

function stateCell({ stdout: { paint } }: Context, { enabled, status }: Project): Cell {
  if (!enabled) return { text: "- not watched", paint: paint.dim };
  if (status === "ok") return { text: "✓ ok", paint: paint.green };
  if (status === "error") return { text: "✗ error", paint: paint.red };
  return { text: "· not read yet", paint: paint.dim };
}

/** Which monitor was chosen, and whether its two halves answer. */
export function* connectionLines(
  { stdout: { paint } }: Pick<Context, "stdout">,
  { origin, functions, hub }: ConnectionReport,
): Generator<string> {
  const line = (label: string, text: string) => `${paint.dim(label.padEnd(10))} ${text}`;
  const half = ({ ok, where, took_ms, error }: Reachability) =>
    ok
      ? `${paint.green("✓")} ${paint.cyan(where)} ${paint.dim(`${took_ms} ms`)}`
      : `${paint.red("✗")} ${where}: ${oneLine(error?.message ?? "does not answer")}`;
  yield line("Going to", origin.text);
  yield line("Functions", half(functions));
  yield line("Hub", half(hub));
  const hints = [functions, hub].flatMap(({ error }) => error?.hints ?? []);
  for (const hint of new Set(hints)) yield line("", paint.dim(oneLine(hint)));
}

const TEST_COLUMNS: readonly Column[] = [{ title: "project" }, { title: "" }, { title: "", narrowest: 30 }];

function* readableLines({ stdout }: Context, { projects }: AuditReport): Generator<string> {
  const { paint } = stdout;
  yield "";
  yield* tableLines(
    stdout,
    TEST_COLUMNS,
    projects.map(({ project, status, errors, jobs, edge_functions }) => [
      { text: project, paint: paint.bold },
      status === "ok" && errors.length === 0
        ? { text: "✓ can be read", paint: paint.green }
        : { text: "✗ error", paint: paint.red },
      errors.length === 0
        ? { text: `${counted(jobs, "job")}, ${counted(edge_functions, "edge function")}`, paint: paint.dim }
        : { text: errors.map(({ message }) => message).join("; ") },
    ]),
  );
}
