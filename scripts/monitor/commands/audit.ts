/** `monitor audit`: discovers the jobs and edge functions of the watched projects. */
import type { Command } from "commander";
import { z } from "zod";
import type { AuditReport } from "../answers.ts";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import { examples } from "../help.ts";
import { type Column, tableLines } from "../table.ts";
import { changeLine, countCell, counted, warningLines } from "../words.ts";

const options = z.object({
  ...projectOption,
  dryRun: z.boolean().default(false),
  fail: z.boolean().default(false),
});

export function addAudit(program: Command, runner: Runner): void {
  const command = program.command("audit")
    .description("Discover the jobs and edge functions of every project; annotations stay")
    .option("--project <name>", "only this project")
    .option("--dry-run", "look and tell, write nothing")
    .option("--fail", "exit 1 if a project could not be read")
    .addHelpText("after", examples(["audit", "audit --project smoothed", "audit --json --fail"]));
  runner.does(command, options, async (context, { options: { project, dryRun, fail } }) => {
    const api = await context.api();
    const report = await context.progress(
      project === undefined ? "Discovering jobs in every project" : `Discovering jobs in ${project}`,
      () => project === undefined ? api.auditAllProjects({ dryRun }) : api.auditProject(project, { dryRun }),
    );
    context.show(report, () => auditLines(context, report));
    return fail && report.errors > 0 ? EXIT.unhealthy : EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
  { title: "project" },
  { title: "jobs", align: "right" },
  { title: "edge functions", align: "right" },
  { title: "changes", align: "right" },
  { title: "", narrowest: 30 },
];

/** One line a project, then what changed, then the sum. */
function* auditLines({ stdout }: Context, report: AuditReport): Generator<string> {
  const { paint } = stdout;
  yield* tableLines(
    stdout,
    COLUMNS,
    report.projects.map(({ project, status, errors, jobs, edge_functions, changes }) => [
      { text: project, paint: status === "ok" ? paint.bold : paint.red },
      countCell(paint, jobs, "bold"),
      countCell(paint, edge_functions, "bold"),
      countCell(paint, changes.length, "yellow"),
      { text: errors.map(({ message }) => message).join("; "), paint: paint.red },
    ]),
  );
  const changes = report.projects.flatMap(({ project, changes }) =>
    changes.map((change) => changeLine(paint, { project, ...change }))
  );
  if (changes.length > 0) yield "";
  yield* changes;
  const warnings = report.projects.flatMap(({ project, warnings }) =>
    warnings.map((one) => ({ project_name: project, job_name: one.job, warning: one.warning }))
  );
  yield* warningLines(paint, warnings);
  yield "";
  const errors = report.errors === 0 ? "" : `, ${paint.red(counted(report.errors, "error"))}`;
  yield `Discovered ${counted(report.jobs, "job")} and ${
    counted(report.edge_functions, "edge function")
  } in ` +
    `${counted(report.projects.length, "project")}: ${counted(report.changes, "change")}${errors}` +
    (report.dry_run ? paint.dim(" · dry run, nothing was written") : "");
}
