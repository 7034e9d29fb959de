/** `monitor heartbeat`: jobs that run elsewhere and say so. */
import type { Command } from "commander";
import { z } from "zod";
import { describeSchedule, parseSchedule } from "../../../supabase/functions/_shared/rules/schedule.ts";
import { formatDuration, oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import { MonitorError } from "../errors.ts";
import { examples, task } from "../help.ts";
import type { AddedHeartbeat, Heartbeat } from "../heartbeats.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { agoCell, counted, isUtc, statusCell } from "../words.ts";

const KEEP_HOURS = 24;
const MINUTE_MS = 60_000;
const UNITS: Readonly<Record<string, number>> = { m: 1, h: 60, d: 24 * 60 };

const addOptions = z.object({
  ...projectOption,
  every: z.string().regex(/^[1-9]\d{0,5}[mhd]$/, "must be such as 5m, 6h or 1d").transform((value) =>
    Number(value.slice(0, -1)) * (UNITS[value.slice(-1)] ?? 1)
  ).optional(),
  schedule: z.string().optional(),
  timezone: z.string().optional(),
  graceMinutes: z.string().regex(/^\d{1,5}(\.\d{1,3})?$/, "must be a number of minutes").transform(Number)
    .optional(),
  type: z.enum(["heartbeat", "webhook"], "must be heartbeat or webhook").optional(),
});

const rotateOptions = z.object({
  keepHours: z.string().regex(/^\d{1,4}$/, "must be a number of hours").transform(Number).default(KEEP_HOURS),
});

export function addHeartbeat(program: Command, runner: Runner): void {
  const heartbeat = program.command("heartbeat").helpCommand(false).description(
    "Jobs that run elsewhere and say so: by a URL, or by update_job_heartbeat()",
  );
  addAdd(heartbeat, runner);
  addList(heartbeat, runner);
  addRotate(heartbeat, runner);
  addRemove(heartbeat, runner);
}

function addAdd(heartbeat: Command, runner: Runner): void {
  const command = heartbeat.command("add")
    .description("Set one up and show its URL, this once")
    .argument("<name>", "what the job is called")
    .option("--project <name>", "the project it belongs to (default: the hub)")
    .option("--every <interval>", "how often it runs: 5m, 6h, 1d (default, without a schedule: 1d)")
    .option("--schedule <expression>", "when it runs, as in its crontab; in quotes")
    .option("--timezone <name>", "time zone of the schedule (default: UTC)")
    .option("--grace-minutes <n>", "how late it may be before it is missed")
    .option("--type <type>", "heartbeat (default) or webhook")
    .addHelpText(
      "after",
      examples([
        "heartbeat add nightly_backup --schedule '0 2 * * *' --timezone Europe/Berlin --grace-minutes 45",
        "heartbeat add queue_worker --every 5m --project smoothed",
      ]),
    );
  runner.does(command, addOptions, async (context, { args: [name = ""], options }) => {
    if (options.every !== undefined && options.schedule !== undefined) {
      throw new MonitorError("usage", "Give --every or --schedule, not both");
    }
    const api = await context.api();
    const added = await context.progress(`Adding ${name}`, () =>
      api.addHeartbeat({
        ...{ name, project: options.project, everyMinutes: options.every, schedule: options.schedule },
        ...{ timeZone: options.timezone, graceMinutes: options.graceMinutes, type: options.type },
      }));
    context.show(added, () => addedLines(context, added, "was added"));
    if (!added.in_inventory) {
      context.warn("cron-healthcheck did not answer; it can be annotated once that runs");
    }
    return EXIT.fine;
  });
}

function* addedLines({ stdout: { paint } }: Context, { job_name, url }: AddedHeartbeat, did: string) {
  const name = oneLine(job_name);
  yield `${paint.green("✓")} ${
    paint.bold(name)
  } ${did}. Its URL is shown this once; whoever has it can ping:`;
  yield `  ${paint.cyan(url)}`;
  yield paint.dim("In a crontab, behind the job:");
  yield `  && curl -fsS -m 10 --retry 5 -o /dev/null ${url}`;
  yield paint.dim("With duration and outcome: ping …/start before it, and …/$? after it");
  yield paint.dim(
    `Say what it is and how much it matters: ${task(`annotate ${name} --criticality critical`)}`,
  );
}

function addList(heartbeat: Command, runner: Runner): void {
  const command = heartbeat.command("list")
    .description("Every heartbeat, and how it is")
    .addHelpText("after", examples(["heartbeat list", "heartbeat list --json"]));
  runner.does(command, z.object({}), async (context) => {
    const api = await context.api();
    const heartbeats = await context.progress("Reading the heartbeats", () => api.listHeartbeats());
    context.show(heartbeats, () => listLines(context, heartbeats));
    return EXIT.fine;
  });
}

const COLUMNS: readonly Column[] = [
  { title: "state" },
  { title: "heartbeat", narrowest: 16 },
  { title: "project", narrowest: 8 },
  { title: "expected", narrowest: 14 },
  { title: "last run" },
  { title: "URLs", align: "right" },
  { title: "", narrowest: 20 },
];

function* listLines({ stdout, world }: Context, heartbeats: readonly Heartbeat[]): Generator<string> {
  const { paint } = stdout;
  if (heartbeats.length === 0) {
    yield "There is no heartbeat yet: heartbeat add, or update_job_heartbeat().";
    return;
  }
  const now = world.now();
  yield* tableLines(
    stdout,
    COLUMNS,
    heartbeats.map((one): Cell[] => [
      statusCell(paint, one.state),
      { text: one.job_name, paint: paint.bold },
      { text: one.project_name ?? "the hub" },
      { text: expectation(one) },
      agoCell(paint, one.last_run_at, now),
      { text: String(one.tokens) },
      { text: remark(one, now), paint: paint.dim },
    ]),
  );
  yield "";
  yield counted(heartbeats.length, "heartbeat");
}

/** `at 02:00 every day (Europe/Berlin), 45 min of grace`. */
function expectation({ schedule, time_zone, expected_interval_minutes, grace_minutes }: Heartbeat): string {
  const when = schedule === null
    ? `every ${formatDuration((expected_interval_minutes ?? UNITS["d"] ?? 0) * MINUTE_MS)}`
    : `${describeSchedule(parseSchedule(schedule))}${isUtc(time_zone) ? "" : ` (${time_zone})`}`;
  return grace_minutes === null ? when : `${when}, ${formatDuration(grace_minutes * MINUTE_MS)} of grace`;
}

function remark({ state, summary, running_since, alerts_quiet_until }: Heartbeat, now: number): string {
  const running = running_since === null
    ? ""
    : `running for ${formatDuration(now - Date.parse(running_since))}`;
  const quiet = alerts_quiet_until !== null && Date.parse(alerts_quiet_until) > now ? "alerts put off" : "";
  const why = state === "healthy" ? "" : oneLine(summary ?? "");
  return [why, running, quiet].filter((part) => part !== "").join("; ");
}

function addRotate(heartbeat: Command, runner: Runner): void {
  const command = heartbeat.command("rotate")
    .description("Give one another URL, shown this once; the old one works on for a while")
    .argument("<name>", "which heartbeat")
    .option("--keep-hours <n>", `how long the old URL works on (default: ${KEEP_HOURS}; 0: it ends now)`)
    .addHelpText(
      "after",
      examples(["heartbeat rotate nightly_backup", "heartbeat rotate nightly_backup --keep-hours 0"]),
    );
  runner.does(command, rotateOptions, async (context, { args: [name = ""], options: { keepHours } }) => {
    const api = await context.api();
    const added = await context.progress(`Rotating ${name}`, () => api.rotateHeartbeat(name, keepHours));
    const old = keepHours === 0
      ? "the old one has ended"
      : `the old one works for ${counted(keepHours, "hour")}`;
    context.show(added, () => addedLines(context, added, `has a new URL, and ${old}`));
    return EXIT.fine;
  });
}

function addRemove(heartbeat: Command, runner: Runner): void {
  const command = heartbeat.command("remove")
    .description("Remove one: its URLs stop to work, its incident ends; annotations and log stay")
    .argument("<name>", "which heartbeat")
    .addHelpText("after", examples(["heartbeat remove nightly_backup"]));
  runner.does(command, z.object({}), async (context, { args: [name = ""] }) => {
    const api = await context.api();
    await context.progress(`Removing ${name}`, () => api.removeHeartbeat(name));
    const { paint } = context.stdout;
    context.show(
      { job_name: name, removed: true },
      () => [`${paint.green("✓")} ${oneLine(name)} was removed`],
    );
    return EXIT.fine;
  });
}
