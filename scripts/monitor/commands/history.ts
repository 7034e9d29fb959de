/** `monitor history`: runs and missed slots of a project or a job. */
import type { Command } from "commander";
import { z } from "zod";
import { formatDuration } from "../../../supabase/functions/_shared/rules/text.ts";
import type { JobHistory } from "../../monitoring_api.ts";
import { type Context, EXIT, limitOption, type Runner } from "../context.ts";
import { examples } from "../help.ts";
import type { LoggedRun } from "../hub_tables.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { agoCell, statusCell } from "../words.ts";

const PRESET_LIMIT = 20;
const options = z.object({ limit: limitOption(PRESET_LIMIT) });

export function addHistory(program: Command, runner: Runner): void {
  const command = program.command("history")
    .description("Runs and missed slots as the checks logged them, newest first")
    .argument("<project>", "name of the project")
    .argument("[job]", "only this job")
    .option("--limit <n>", `how many (default: ${PRESET_LIMIT})`)
    .addHelpText("after", examples(["history smoothed", "history smoothed sync_leads --limit 100"]));
  runner.does(command, options, async (context, { args: [project = "", job], options: { limit } }) => {
    const api = await context.api();
    const history = await context.progress(
      "Reading the history",
      () => api.getJobHistory({ project, job, limit }),
    );
    context.show(history.runs, () => historyLines(context, history, limit));
    if (!history.successes_kept) {
      context.warn("Successful runs are only counted (app_settings.log_successes is false), not listed");
    }
    return EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
  { title: "at" },
  { title: "job", narrowest: 14 },
  { title: "status" },
  { title: "took", align: "right" },
  { title: "message", narrowest: 20 },
];

function* historyLines(context: Context, { runs }: JobHistory, limit: number): Generator<string> {
  const { stdout, world } = context;
  if (runs.length === 0) {
    yield "Nothing is logged yet: every check logs the runs that ended since the one before.";
    return;
  }
  yield* tableLines(stdout, COLUMNS, runs.map((run) => runCells(context, run, world.now())));
  if (runs.length === limit) yield stdout.paint.dim(`\nThe last ${limit}; more with --limit`);
}

function runCells({ stdout: { paint } }: Context, run: LoggedRun, now: number): Cell[] {
  const { run_at, job_name, job_user, job_type, status, duration_ms, error_message } = run;
  const role = job_user === null || job_user === "postgres" ? "" : ` (as ${job_user})`;
  const as = job_type === null || job_type === "pg_cron" ? role : ` (${job_type})`;
  return [
    run_at === null ? { text: "unknown", paint: paint.dim } : agoCell(paint, run_at, now),
    { text: `${job_name}${as}`, paint: paint.bold },
    statusCell(paint, status),
    { text: duration_ms === null ? "" : shortDuration(duration_ms) },
    { text: error_message ?? "" },
  ];
}

function shortDuration(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : formatDuration(milliseconds);
}
