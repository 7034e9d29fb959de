/** `monitor check`: looks at every project now, judges each job, opens and resolves incidents. */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import type { HealthReport, ProjectHealth } from "../answers.ts";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import { examples } from "../help.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { changeLine, countCell, counted, statusCell } from "../words.ts";

const options = z.object({
  ...projectOption,
  dryRun: z.boolean().default(false),
  fail: z.boolean().default(false),
});

export function addCheck(program: Command, runner: Runner): void {
  const command = program.command("check")
    .description("Check every project now; alerts follow within the minute")
    .option("--project <name>", "only this project")
    .option("--dry-run", "judge and tell, write and send nothing")
    .option("--fail", "exit 1 if a job failed or missed a run, or a project could not be read")
    .addHelpText("after", examples(["check", "check --project smoothed --dry-run", "check --json --fail"]));
  runner.does(command, options, async (context, { options: { project, dryRun, fail } }) => {
    const api = await context.api();
    const report = await context.progress(
      project === undefined ? "Checking every project" : `Checking ${project}`,
      () => api.checkHealth(project, { dryRun }),
    );
    context.show(report, () => checkLines(context, report));
    return fail && report.failed + report.missed + report.errors > 0 ? EXIT.unhealthy : EXIT.fine;
  });
}

/** Titles of the counts, in the order of {@link countCells}. */
export const COUNT_COLUMNS: readonly Column[] = ["jobs", "healthy", "failed", "missed", "unknown", "paused"]
  .map((title) => ({ title, align: "right" }));

/** How many jobs are in which state. */
export type Counts = Record<"jobs" | "healthy" | "failed" | "missed" | "unknown" | "paused", number>;

/** The counts of a project or of all, each in its colour. */
export function countCells({ stdout: { paint } }: Pick<Context, "stdout">, counts: Counts): Cell[] {
  return [
    countCell(paint, counts.jobs, "bold"),
    countCell(paint, counts.healthy, "green"),
    countCell(paint, counts.failed, "red"),
    countCell(paint, counts.missed, "yellow"),
    countCell(paint, counts.unknown, "magenta"),
    countCell(paint, counts.paused, "cyan"),
  ];
}

const COLUMNS: readonly Column[] = [{ title: "project" }, ...COUNT_COLUMNS, { title: "", narrowest: 30 }];

function* checkLines(context: Context, report: HealthReport): Generator<string> {
  const { paint } = context.stdout;
  const rows = report.projects.map((project) => projectCells(context, project));
  const total = [{ text: "total", paint: paint.bold }, ...countCells(context, report), { text: "" }];
  yield* tableLines(context.stdout, COLUMNS, report.projects.length === 1 ? rows : [...rows, total]);
  yield* findingLines(context, report);
  yield* httpLines(context, report);
  yield* changeLines(context, report);
  yield "";
  yield closingLine(context, report);
}

function projectCells(context: Context, report: ProjectHealth): Cell[] {
  const { paint } = context.stdout;
  if (report.status === "ok") {
    return [{ text: report.project, paint: paint.bold }, ...countCells(context, report), { text: "" }];
  }
  const error = { text: report.error?.message ?? "could not be read", paint: paint.red };
  return [{ text: report.project, paint: paint.red }, ...countCells(context, report), error];
}

const FINDING_COLUMNS: readonly Column[] = [
  { title: "" },
  { title: "job", narrowest: 16 },
  { title: "project", narrowest: 8 },
  { title: "why", narrowest: 30 },
];

/** Jobs that are not healthy, the worst kind first. */
function* findingLines({ stdout }: Context, { projects }: HealthReport): Generator<string> {
  const { paint } = stdout;
  const all = projects.flatMap(({ project, details }) => details.map((job) => ({ project, ...job })));
  const rows = (["failed", "missed", "unknown"] as const).flatMap((status) =>
    all.filter((job) => job.status === status).map(({ job_name, project, summary }): Cell[] => [
      statusCell(paint, status),
      { text: job_name, paint: paint.bold },
      { text: project },
      { text: oneLine(summary) },
    ])
  );
  if (rows.length === 0) return;
  yield "";
  yield* tableLines(stdout, FINDING_COLUMNS, rows);
}

/** What is different about jobs since the last look, with a schedule's old and new text. */
function* changeLines({ stdout: { paint } }: Context, { projects }: HealthReport): Generator<string> {
  const lines = projects.flatMap(({ project, changes }) =>
    changes.map(({ job, change, old_value, new_value }) => {
      const values = change === "schedule"
        ? `, ${oneLine(old_value ?? "")} → ${oneLine(new_value ?? "")}`
        : "";
      return `${changeLine(paint, { project, job, change })}${values}`;
    })
  );
  if (lines.length > 0) yield "";
  yield* lines;
}

/** What pg_net could not do in the last hour, or has not done yet. */
function* httpLines({ stdout: { paint } }: Context, { projects }: HealthReport): Generator<string> {
  for (const { project, http } of projects) {
    const told = [
      http?.failed ? `${http.failed} of ${http.answers} answers of the last hour failed` : "",
      http?.timed_out ? `${http.timed_out} timed out` : "",
      http?.queue ? `${counted(http.queue, "request")} in the queue` : "",
      http?.strangers.length
        ? `calls under names that no job has: ${oneLine(http.strangers.join(", "))}`
        : "",
      http?.errors.length ? `not read: ${oneLine(http.errors.join(", "))}` : "",
    ].filter((text) => text !== "");
    if (told.length > 0) yield paint.dim(`pg_net of ${project}: ${told.join(", ")}`);
  }
}

function closingLine({ stdout: { paint } }: Context, report: HealthReport): string {
  if (report.dry_run) return paint.dim("Dry run: nothing was written, nothing is sent.");
  const { incidents_opened: opened, incidents_resolved: resolved, failed, missed, errors } = report;
  if (opened + resolved > 0) {
    return `${
      counted(opened, "incident")
    } opened, ${resolved} resolved; send-alert tells of them within the minute.`;
  }
  if (failed + missed + errors > 0) return "Nothing new: the incidents are open already.";
  return report.unknown > 0 ? "No incident." : paint.green("All well.");
}
