/** `monitor replay`: what the rules would have told over the history that exists, job by job. */
import type { Command } from "commander";
import { z } from "zod";
import { describeSchedule, parseSchedule } from "../../../supabase/functions/_shared/rules/schedule.ts";
import { formatUtc, oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import type { FailedReplay, Replay, ReplayedIncident, ReplayedJob } from "../../replay.ts";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import { examples } from "../help.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { counted } from "../words.ts";

const PRESET_DAYS = 30;

const number = (what: string, least: number, most: number) =>
  z.string().transform(Number).refine((value) => value >= least && value <= most, `must be ${what}`);

const options = z.object({
  ...projectOption,
  days: number("a number of days, at most 366", 0.01, 366).default(PRESET_DAYS),
  grace: number("minutes from 0 to 44640", 0, 44_640).optional(),
  threshold: number("a whole number from 1 to 100", 1, 100).refine(Number.isInteger, "must be a whole number")
    .optional(),
});

export function addReplay(program: Command, runner: Runner): void {
  const command = program.command("replay")
    .description("What would have been told over the past: choose thresholds from evidence")
    .option("--project <name>", "only this project")
    .option("--days <n>", `how far back (default: ${PRESET_DAYS})`)
    .option("--grace <minutes>", "grace of every job, in place of its own")
    .option("--threshold <n>", "failures in a row of every job, in place of its own")
    .addHelpText(
      "after",
      examples(["replay --days 7", "replay --project smoothed --grace 10 --threshold 2"]),
    );
  runner.does(command, options, async (context, { options: { project, days, grace, threshold } }) => {
    const api = await context.api();
    const replays = await context.progress("Replaying the history", () =>
      api.replay({
        project,
        days,
        ...(grace === undefined ? {} : { graceMinutes: grace }),
        ...(threshold === undefined ? {} : { failureThreshold: threshold }),
      }));
    context.show(replays, () => replays.flatMap((one) => [...replayLines(context, one)]));
    return replays.some((one) => "error" in one) ? EXIT.cannot : EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
  { title: "job", narrowest: 14 },
  { title: "schedule", narrowest: 14 },
  { title: "runs", align: "right" },
  { title: "failed", align: "right" },
  { title: "missed", align: "right" },
  { title: "grace", align: "right" },
  { title: "alerts", align: "right" },
  { title: "last told", narrowest: 20 },
];

function* replayLines({ stdout }: Context, replay: Replay | FailedReplay): Generator<string> {
  const { paint } = stdout;
  if ("error" in replay) {
    yield `${paint.bold(replay.project)}  ${paint.red(`✗ ${oneLine(replay.error.message)}`)}\n`;
    return;
  }
  const alerts = replay.jobs.reduce((sum, job) => sum + job.alerts, 0) + replay.incidents.length;
  const span = `${formatUtc(new Date(replay.since))} to ${formatUtc(new Date(replay.until))}`;
  yield `${paint.bold(replay.project)}  ${counted(alerts, "alert")} in ${
    counted(replay.checks, "check")
  }, ${span}`;
  const shortened = replay.shortened ? "; the history is shorter than was asked for" : "";
  yield paint.dim(`from ${replay.source}${shortened}`);
  for (const incident of replay.incidents) yield `  ${told(incident)}`;
  if (replay.jobs.length > 0) yield* tableLines(stdout, COLUMNS, replay.jobs.map(cells));
  yield "";
}

function cells(job: ReplayedJob): Cell[] {
  const last = job.incidents.at(-1);
  return [
    { text: job.job_user === "postgres" ? job.job_name : `${job.job_name} (as ${job.job_user})` },
    { text: describeSchedule(parseSchedule(job.schedule)) },
    { text: String(job.runs) },
    { text: String(job.failed) },
    { text: String(job.missed_slots) },
    { text: `${job.grace_minutes} min` },
    { text: String(job.alerts) },
    { text: last === undefined ? "" : told(last) },
  ];
}

function told({ code, opened_at, summary }: ReplayedIncident): string {
  return `${formatUtc(new Date(opened_at))} ${code}: ${summary}`;
}
