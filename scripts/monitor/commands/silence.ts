/** `monitor silence`, `silences`, `unsilence`: what is not told for a while. */
import type { Command } from "commander";
import { z } from "zod";
import { formatUtc, oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import type { ListedSilence, MadeSilence, SilenceRequest } from "../../monitoring_api.ts";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import { MonitorError } from "../errors.ts";
import { prefixFault } from "../find_by_prefix.ts";
import { examples, task } from "../help.ts";
import { checkSilence } from "../silences.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { counted, isUtc, relative } from "../words.ts";

const SHOWN_JOBS = 8;

const text = z.string().optional();
const options = z.object({
  for: text,
  until: text,
  schedule: text,
  duration: text,
  timezone: text,
  reason: text,
  by: text,
});

export function addSilence(program: Command, runner: Runner): void {
  const command = program.command("silence")
    .description("Tell nothing of some jobs for a while; what still holds at the end is told then")
    .argument("<project>", "name of the project, or '*' for all")
    .argument(
      "[jobs]",
      "name, or a pattern: * any text, ? one character; without it, the project and all jobs",
    )
    .option("--for <duration>", "how long from now: 90m, 2h, 1d")
    .option("--until <time>", "until when, ISO 8601 (UTC unless it says otherwise)")
    .option("--schedule <cron>", "again and again: five cron fields, in quotes")
    .option("--duration <duration>", "how long each time")
    .option("--timezone <name>", "time zone of the schedule (default: UTC)")
    .option("--reason <text>", "why; it is shown where an alert waits")
    .option("--by <who>", "who (default: your user name)")
    .addHelpText(
      "after",
      examples([
        'silence smoothed "sync_*" --for 2h --reason "migrating leads"',
        'silence "*" --until 2026-12-24T18:00Z --reason "moving the database"',
        'silence smoothed nightly_report --schedule "0 2 * * 0" --duration 90m --timezone Europe/Berlin --reason "weekly reindex"',
      ]),
    );
  runner.does(command, options, async (context, { args: [project = "", jobs = "*"], options: given }) => {
    const request = { project, jobs, ...given };
    // every fault at once, and before anything is asked of the hub
    checkSilence(request, context.world.now(), { named: optionOf });
    const api = await context.api();
    const made = await context.progress("Silencing", () => api.silence(request as SilenceRequest));
    context.show(made, () => madeLines(context, made));
    for (const warning of made.warnings) context.warn(warning);
    return EXIT.fine;
  });
}

function optionOf(key: string): string {
  return key === "project" || key === "jobs" ? `<${key}>` : `--${key}`;
}

export function addUnsilence(program: Command, runner: Runner): void {
  const command = program.command("unsilence")
    .description("End a silence now")
    .argument("<silence>", "its id, or the first characters of it")
    .option("--by <who>", "who (default: your user name)")
    .addHelpText("after", examples(["unsilence 3f9a", 'unsilence 3f9a12cd --by "dana"']));
  runner.does(command, z.object({ by: text }), async (context, { args: [id = ""], options: { by } }) => {
    const fault = prefixFault(id);
    if (fault !== null) throw new MonitorError("usage", fault);
    const api = await context.api();
    const ended = await context.progress("Ending the silence", () => api.endSilence(id, { by }));
    context.show(ended, () => {
      const { paint } = context.stdout;
      const what = `${whatOf(ended.silence)}: ${oneLine(ended.silence.reason)}`;
      return [
        ended.changed
          ? `${paint.green("✓")} Ended: ${what}`
          : `${paint.dim("·")} It was over already: ${what}`,
      ];
    });
    return EXIT.fine;
  });
}

export function addSilences(program: Command, runner: Runner): void {
  const command = program.command("silences")
    .description("List silences and when they hold next")
    .option("--project <name>", "only those that concern this project")
    .option("--all", "those that are over too")
    .addHelpText("after", examples(["silences", "silences --all --project smoothed", "silences --json"]));
  const schema = z.object({ ...projectOption, all: z.boolean().default(false) });
  runner.does(command, schema, async (context, { options: { project, all } }) => {
    const api = await context.api();
    const silences = await context.progress(
      "Reading the silences",
      () => api.listSilences({ project, which: all ? "all" : "current" }),
    );
    context.show(silences, () => silenceLines(context, silences));
    return EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
  { title: "id" },
  { title: "" },
  { title: "jobs", narrowest: 12 },
  { title: "project", narrowest: 8 },
  { title: "when", narrowest: 24 },
  { title: "by", narrowest: 8 },
  { title: "why", narrowest: 16 },
];

const STATES = {
  holds: { text: "● holds", colour: "yellow" },
  waits: { text: "○ waits", colour: "cyan" },
  ended: { text: "· over", colour: "dim" },
  broken: { text: "✗ bad schedule", colour: "red" },
} as const;

function* silenceLines(context: Context, silences: readonly ListedSilence[]): Generator<string> {
  const { stdout, world } = context;
  const { paint } = stdout;
  if (silences.length === 0) {
    yield paint.green("Nothing is silenced.");
    return;
  }
  yield* tableLines(
    stdout,
    COLUMNS,
    silences.map((silence): Cell[] => [
      { text: silence.id.slice(0, 8), paint: paint.bold },
      { text: STATES[silence.state].text, paint: paint[STATES[silence.state].colour] },
      { text: silence.job_pattern, paint: paint.bold },
      { text: silence.project_name ?? "every project" },
      { text: whenOf(silence, world.now()) },
      { text: silence.created_by },
      { text: silence.reason, paint: paint.dim },
    ]),
  );
}

function* madeLines(
  { stdout: { paint }, world }: Context,
  { silence, jobs }: MadeSilence,
): Generator<string> {
  yield `${paint.green("✓")} Silenced ${paint.bold(whatOf(silence))}, ${whenOf(silence, world.now())}`;
  const shown = jobs.slice(0, SHOWN_JOBS).map(oneLine).join(", ");
  const more = jobs.length > SHOWN_JOBS ? `, … ${jobs.length - SHOWN_JOBS} more` : "";
  if (jobs.length > 0) yield paint.dim(`  ${counted(jobs.length, "job")} now: ${shown}${more}`);
  yield paint.dim(`  End it with: ${task(`unsilence ${silence.id.slice(0, 8)}`)}`);
}

function whatOf({ job_pattern, project_name }: ListedSilence): string {
  return oneLine(`${job_pattern} in ${project_name ?? "every project"}`);
}

/** `until 2026-11-21 14:00:00 UTC, in 2 h`, or the schedule and the next time. */
function whenOf(
  { schedule, duration_minutes, time_zone, next, holds_until, ends_at }: ListedSilence,
  now: number,
): string {
  const at = (instant: string) => `${formatUtc(new Date(instant))}, ${relative(now - Date.parse(instant))}`;
  if (schedule === null) return ends_at === null ? "until somebody ends it" : `until ${at(ends_at)}`;
  const zone = isUtc(time_zone) ? "" : ` ${time_zone}`;
  const upcoming = next.find(({ from }) => Date.parse(from) > now);
  return [
    `${schedule}${zone}, ${duration_minutes} min each`,
    ...holds_until === null ? [] : [`now until ${at(holds_until)}`],
    ...upcoming === undefined ? [] : [`next ${at(upcoming.from)}`],
  ].join("; ");
}
