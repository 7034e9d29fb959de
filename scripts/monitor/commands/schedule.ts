/** `monitor schedule`: what pg_cron makes of a schedule, in words and times. */
import type { Command } from "commander";
import { z } from "zod";
import { formatUtc, oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import { isTimeZone } from "../../../supabase/functions/_shared/rules/schedule.ts";
import { textLines } from "../../local/json_log.ts";
import { type Context, EXIT, type ExitCode, jsonText, type Runner } from "../context.ts";
import { INSTANT_FAULT, parseInstant } from "../durations.ts";
import { MonitorError } from "../errors.ts";
import { examples } from "../help.ts";
import {
  answerLine,
  type ExplainedSchedule,
  explainSchedule,
  VERSION,
  VERSION_FAULT,
} from "../schedule_answers.ts";
import { type Column, tableLines } from "../table.ts";
import { isUtc, relative } from "../words.ts";

const PRESET_COUNT = 5;

const options = z.object({
  timezone: z.string().refine(isTimeZone, "must be a time zone such as Europe/Berlin").default("GMT"),
  from: z.string().refine((text) => parseInstant(text) !== null, INSTANT_FAULT)
    .transform((text) => parseInstant(text) ?? NaN).optional(),
  count: z.string().regex(/^[1-9]\d{0,3}$/, "must be a number from 1 to 9999").transform(Number).optional(),
  pgCron: z.string().regex(VERSION, VERSION_FAULT).default("1.6.4"),
  stdin: z.boolean().default(false),
});
type Options = z.infer<typeof options>;

export function addSchedule(program: Command, runner: Runner): void {
  const command = program.command("schedule")
    .description("Explain a schedule as pg_cron means it: words, next times, pitfalls")
    .argument("[expression]", "five fields, @nickname, or N seconds; in quotes")
    .option("--timezone <name>", "pg_cron's cron.timezone (default: GMT)")
    .option("--from <time>", "times after this one, ISO 8601 (default: now)")
    .option("--count <n>", `how many times (default: ${PRESET_COUNT})`)
    .option("--pg-cron <version>", "as that version reads it, such as 1.6.4 or 1.6.7 (default: 1.6.4)")
    .option("--stdin", "answer JSON lines: one question and one answer a line, as they come")
    .addHelpText(
      "after",
      examples([
        'schedule "*/15 9-17 * * 1-5"',
        'schedule "30 2 * * *" --timezone Europe/Berlin --from 2027-03-27 --count 3',
        'schedule "0 0 $ * *" --pg-cron 1.6.7 --json',
        'schedule --stdin < questions.jsonl   # {"schedule":"0 * * * *","from":1795262400,"count":3}',
      ]),
    );
  runner.does(command, options, (context, { args: [expression], options: given }) => {
    if ((expression === undefined) !== given.stdin) {
      const message = given.stdin ? "With --stdin there is no expression" : "Give an expression, or --stdin";
      throw new MonitorError("usage", message);
    }
    return expression === undefined ? answerLines(context, given) : explainOne(context, expression, given);
  });
}

async function answerLines(
  { world, stdout }: Context,
  { timezone, from, count, pgCron }: Options,
): Promise<ExitCode> {
  const defaults = { timezone, from: from ?? world.now(), pgCron, ...(count === undefined ? {} : { count }) };
  for await (const line of textLines(world.stdin())) stdout.print(jsonText(answerLine(line, defaults), 0));
  return EXIT.fine;
}

function explainOne(context: Context, schedule: string, given: Options): Promise<ExitCode> {
  const { timezone, count = PRESET_COUNT, pgCron, from = context.world.now() } = given;
  const explained = explainSchedule({ schedule, timezone, from, count, pgCron });
  if (explained.kind === "invalid" && context.format === "text") {
    const hints = explained.warnings.map(({ message }) => message);
    throw new MonitorError("invalid_value", explained.error ?? "Cannot parse the schedule", { hints });
  }
  context.show(explained, () => explainedLines(context, explained));
  return Promise.resolve(explained.kind === "invalid" ? EXIT.cannot : EXIT.fine);
}

const COLUMNS: readonly Column[] = [{ title: "next" }, { title: "there" }, { title: "" }];

function* explainedLines(context: Context, explained: ExplainedSchedule): Generator<string> {
  const { stdout, world } = context;
  const { paint } = stdout;
  const { words, timezone, kind, next = [], warnings } = explained;
  const zone = kind === "cron" && !isUtc(timezone) ? ` (${timezone})` : "";
  yield `${paint.bold(words.charAt(0).toUpperCase() + words.slice(1))}${zone}`;
  if (kind === "interval") {
    yield paint.dim("Counted from the start of the last run, so it has no times of its own");
  }
  for (const { message } of warnings) yield `${paint.yellow("!")} ${oneLine(message)}`;
  if (next.length === 0) return;
  yield "";
  yield* tableLines(
    stdout,
    COLUMNS,
    next.map((instant) => [
      { text: formatUtc(new Date(instant)) },
      { text: isUtc(timezone) ? "" : timeIn(timezone, instant), paint: paint.cyan },
      { text: relative(world.now() - Date.parse(instant)), paint: paint.dim },
    ]),
  );
}

/** `Mon 2027-03-29 02:30 GMT+2`, as a clock on the wall shows it there. */
function timeIn(timeZone: string, instant: string): string {
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    weekday: "short",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    timeZoneName: "short",
  }).formatToParts(new Date(instant));
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.find((one) => one.type === type)?.value ?? "";
  const date = `${part("year")}-${part("month")}-${part("day")}`;
  return `${part("weekday")} ${date} ${part("hour")}:${part("minute")} ${part("timeZoneName")}`;
}
