/** `monitor errors`: what jobs failed with, by fingerprint, over time. */
import type { Command } from "commander";
import { z } from "zod";
import { cut, oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import { type Paint, wrap } from "../../local/screen.ts";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import type { JobError } from "../error_table.ts";
import { examples } from "../help.ts";
import { sparkline } from "../sparkline.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { agoCell, counted } from "../words.ts";

const PRESET_DAYS = 7;
const INDENT = "    ";
/** Characters of a message. */
const MESSAGE_LIMIT = 300;

const options = z.object({
  ...projectOption,
  job: z.string().optional(),
  days: z.string().regex(/^([1-9]|[1-8]\d|90)$/, "must be a number of days from 1 to 90").transform(Number)
    .default(PRESET_DAYS),
  fail: z.boolean().default(false),
});

export function addErrors(program: Command, runner: Runner): void {
  const command = program.command("errors")
    .description(
      "What jobs failed with, by fingerprint: numbers, ids and quoted values folded; new ones first",
    )
    .option("--project <name>", "only this project")
    .option("--job <name>", "only this job")
    .option("--days <n>", `of the last days (default: ${PRESET_DAYS}, at most 90)`)
    .option("--fail", "exit 1 if there is an error that is new since yesterday")
    .addHelpText(
      "after",
      examples(["errors", "errors --project smoothed --days 30", "errors --fail --json"]),
    );
  runner.does(command, options, async (context, { options: { project, job, days, fail } }) => {
    const api = await context.api();
    const errors = await context.progress("Reading the errors", () => api.listErrors({ project, job, days }));
    context.show(errors, () => errorLines(context, errors, days));
    return fail && errors.some((error) => error.new_since_yesterday) ? EXIT.unhealthy : EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
  { title: "" },
  { title: "error", narrowest: 24 },
  { title: "job", narrowest: 12 },
  { title: "project", narrowest: 8 },
  { title: "times", align: "right" },
  { title: "by day" },
  { title: "first seen" },
  { title: "last seen" },
];

function* errorLines(
  { stdout, world }: Context,
  errors: readonly JobError[],
  days: number,
): Generator<string> {
  const { paint } = stdout;
  if (errors.length === 0) {
    yield `No job failed in the last ${counted(days, "day")}.`;
    return;
  }
  const rows = errors.map((error) => errorCells(paint, error, world.now()));
  const [head = "", ...lines] = tableLines(stdout, COLUMNS, rows);
  yield head;
  for (const [index, line] of lines.entries()) {
    yield line;
    const said = unfolded(errors[index]);
    if (said !== null) {
      yield* wrap(said, stdout.width - INDENT.length).map((part) => paint.dim(`${INDENT}${part}`));
    }
  }
  yield "";
  const fresh = errors.filter((error) => error.new_since_yesterday).length;
  yield paint.dim(
    `${counted(errors.length, "error")} of jobs in ${counted(days, "day")}; ${
      fresh === 0 ? "none is" : `${fresh} ${fresh === 1 ? "is" : "are"}`
    } new since yesterday.`,
  );
}

/** What was said at last, where the fingerprint has folded some of it; `null`: it has not. */
function unfolded(error: JobError | undefined): string | null {
  if (error === undefined) return null;
  const said = cut(oneLine(error.message), MESSAGE_LIMIT);
  return said === error.fingerprint ? null : said;
}

function errorCells(paint: Paint, error: JobError, now: number): Cell[] {
  return [
    error.new_since_yesterday ? { text: "new", paint: paint.red } : { text: "" },
    { text: error.fingerprint, paint: paint.bold },
    { text: error.job_name },
    { text: error.project_name },
    { text: String(error.count) },
    { text: sparkline(error.by_day.map((count) => count === 0 ? null : count)), paint: paint.cyan },
    agoCell(paint, error.first_seen, now),
    agoCell(paint, error.last_seen, now),
  ];
}
