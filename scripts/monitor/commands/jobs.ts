/** `monitor jobs`: the inventory with what the last check concluded. */
import type { Command } from "commander";
import { z } from "zod";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import { examples, task } from "../help.ts";
import type { Job } from "../hub_tables.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import {
  ago,
  agoCell,
  counted,
  isUnannotated,
  scheduleInWords,
  severityCell,
  statusCell,
  warningLines,
} from "../words.ts";

const options = z.object({
  ...projectOption,
  all: z.boolean().default(false),
  fail: z.boolean().default(false),
});

export function addJobs(program: Command, runner: Runner): void {
  const command = program.command("jobs")
    .description("List every job: schedule, how it is, who looks after it")
    .option("--project <name>", "only this project")
    .option("--all", "also jobs that are gone, whose annotations are kept")
    .option("--fail", "exit 1 if a job failed or missed a run, or its project could not be read")
    .addHelpText("after", examples(["jobs", "jobs --project smoothed", "jobs --json --fail"]));
  runner.does(command, options, async (context, { options: { project, all, fail } }) => {
    const api = await context.api();
    const [jobs, projects, lastCheckAt] = await context.progress("Reading the inventory", async () => [
      await api.listJobs({ project, which: all ? "all" : "existing" }),
      (await api.listProjects()).filter((one) => project === undefined || one.name === project),
      await api.lastCheckAt(),
    ]);
    context.show(
      jobs,
      () => jobs.length === 0 ? [nothingLine(project)] : jobLines(context, jobs, lastCheckAt),
    );
    const unread = projects.filter(({ enabled, status }) => enabled && status === "error");
    for (const { name, error_message } of unread) {
      context.warn(`${name} could not be read the last time: ${error_message}`);
    }
    const unhealthy = jobs.some(({ status, removed_at }) =>
      removed_at === null && (status === "failed" || status === "missed")
    );
    return fail && (unhealthy || unread.length > 0) ? EXIT.unhealthy : EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
  { title: "project", narrowest: 8 },
  { title: "job", narrowest: 14 },
  { title: "as", narrowest: 6 },
  { title: "type" },
  { title: "schedule", narrowest: 12 },
  { title: "status" },
  { title: "last run" },
  { title: "criticality" },
  { title: "owner", narrowest: 6 },
];

function nothingLine(project: string | undefined): string {
  const where = project === undefined ? "" : ` of ${project}`;
  return `The inventory${where} is empty. Discover jobs first: ${task("audit")}`;
}

function* jobLines(context: Context, jobs: readonly Job[], lastCheckAt: string | null): Generator<string> {
  const { stdout, world } = context;
  const now = world.now();
  yield* tableLines(stdout, COLUMNS, jobs.map((job) => jobCells(context, job, now)));
  yield "";
  yield summaryLine(jobs, lastCheckAt, now);
  yield* warningLines(
    stdout.paint,
    jobs.filter((job) => job.removed_at === null).flatMap((job) =>
      job.warnings.map((warning) => ({ ...job, warning }))
    ),
  );
  const bare = jobs.filter((job) => isUnannotated(job) && job.removed_at === null);
  const [first] = bare;
  if (first === undefined) return;
  const example =
    `annotate "${first.job_name}" --project ${first.project_name} --description "…" --criticality low`;
  yield stdout.paint.dim(`${counted(bare.length, "job")} not annotated; say what they do:`);
  yield stdout.paint.dim(`  ${task(example)}`);
}

function jobCells({ stdout: { paint } }: Context, job: Job, now: number): Cell[] {
  const { project_name, job_name, job_user, job_type, criticality, owner, removed_at, active } = job;
  const gone: Cell = { text: "· gone", paint: paint.dim };
  const status = job.status ?? (active ? null : "paused");
  return [
    { text: project_name },
    { text: job_name, paint: paint.bold },
    { text: job_user === "postgres" ? "" : job_user ?? "", paint: paint.dim },
    { text: job_type === "pg_cron" ? "" : job_type, paint: paint.dim },
    { text: scheduleInWords(job) },
    removed_at === null ? statusCell(paint, status) : gone,
    agoCell(paint, job.last_run_at, now),
    isUnannotated(job)
      ? { text: "not annotated", short: "-", paint: paint.dim }
      : criticality === null
      ? { text: "" }
      : severityCell(paint, criticality),
    { text: owner ?? "" },
  ];
}

function summaryLine(jobs: readonly Job[], lastCheckAt: string | null, now: number): string {
  const existing = jobs.filter((job) => job.removed_at === null);
  const states = Map.groupBy(existing, ({ status }) => status ?? "not checked");
  const counts = (["healthy", "failed", "missed", "unknown", "paused", "not checked"] as const)
    .flatMap((status) => states.has(status) ? [`${states.get(status)?.length} ${status}`] : []);
  const checked = lastCheckAt === null
    ? "no check has seen every project yet"
    : `last full check ${ago(lastCheckAt, now)}`;
  return `${counted(existing.length, "job")}: ${counts.join(", ")} · ${checked}`;
}
