/** `monitor annotate`: what people know of a job, written into the inventory. */
import type { Command } from "commander";
import { z } from "zod";
import { jobType } from "../../../supabase/functions/_shared/domain/job.ts";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import { type AnnotatedJob, annotations, nameOfJob } from "../annotate_job.ts";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import { MonitorError } from "../errors.ts";
import { examples } from "../help.ts";

const number = (what: RegExp, fault: string) =>
  z.string().regex(what, `must be ${fault}, or "" to clear it`)
    .transform((value) => value === "" ? null : Number(value)).optional();
const minutes = number(/^$|^-?\d{1,9}(\.\d{1,6})?$/, "a number of minutes");
const truth = z.enum(["true", "false", ""], 'must be true, false, or "" to clear it')
  .transform((value) => value === "" ? null : value === "true").optional();
const whole = number(/^$|^-?\d{1,9}$/, "a whole number");
const percent = number(/^$|^-?\d{1,9}(\.\d{1,6})?$/, "a number");

const options = z.object({
  ...projectOption,
  user: z.string().optional(),
  type: jobType.optional(),
  description: z.string().optional(),
  successCriteria: z.string().optional(),
  criticality: z.string().optional(),
  owner: z.string().optional(),
  alertChannel: z.string().optional(),
  runbookUrl: z.string().optional(),
  graceMinutes: minutes,
  maxRuntimeMinutes: minutes,
  failureThreshold: whole,
  minRows: whole,
  checkBodyOk: truth,
  successCheckSql: z.string().optional(),
  healthCheckUrl: z.string().optional(),
  healthCheckHeader: z.string().optional(),
  healthCheckStatus: z.string().optional(),
  healthCheckBody: z.string().optional(),
  healthCheckTimeoutMs: whole,
  healthCheckMaxMs: whole,
  maxErrorPercent: percent,
  minInvocations: whole,
  maxSilenceMinutes: minutes,
});

export function addAnnotate(program: Command, runner: Runner): void {
  const command = program.command("annotate")
    .description('Say what a job does, how much it matters and who looks after it; "" clears a value')
    .argument("<job>", "name of the job")
    .option("--project <name>", "its project, where several have a job of that name")
    .option("--user <role>", "the role it runs as, where several have a job of that name")
    .option("--type <type>", `its type, likewise: ${jobType.options.join(", ")}`)
    .option("--description <text>", "what it does, in plain words")
    .option("--success-criteria <text>", `how to know that it worked, beyond "it didn't throw"`)
    .option("--criticality <level>", "critical, important or low: decides where alerts go")
    .option("--owner <who>", "who looks after it")
    .option("--alert-channel <name>", "a channel of its own (name or channel in alert_config)")
    .option("--runbook-url <url>", "what to do when it fails")
    .option("--grace-minutes <n>", "how late a run may be before it is missed")
    .option("--max-runtime-minutes <n>", "after which a run counts as stuck")
    .option("--failure-threshold <n>", "failed runs in a row before the job counts as failed")
    .option("--min-rows <n>", "rows that a successful run affects at least")
    .option("--check-body-ok <true|false>", 'whether an HTTP answer that says "ok": false is a failure')
    .option("--success-check-sql <query>", "a query on the project, true after a run that worked")
    .option("--health-check-url <url>", "of a function or webhook: asked whether it is well; or vault:NAME")
    .option("--health-check-header <name: value>", "a header that this needs, such as apikey: vault:NAME")
    .option("--health-check-status <codes>", "what a healthy answer has: 2xx, or such as 200, 404")
    .option("--health-check-body <text>", "text that a healthy answer contains")
    .option("--health-check-timeout-ms <n>", "how long a healthy answer may take at all")
    .option("--health-check-max-ms <n>", "above which an answer is slow")
    .option("--max-error-percent <n>", "failed invocations from which an edge function is failing")
    .option("--min-invocations <n>", "of how many of its last invocations that percentage is taken")
    .option("--max-silence-minutes <n>", "without an invocation, after which an edge function is silent")
    .addHelpText(
      "after",
      examples([
        'annotate sync_leads --description "Copies leads to the CRM" --criticality critical --owner "data team"',
        "annotate sync_leads --project smoothed --grace-minutes 10 --runbook-url https://wiki.example/leads",
        "annotate sync-leads --type edge_function --max-error-percent 5 --max-silence-minutes 60",
        'annotate sync_leads --owner ""',
      ]),
    );
  runner.does(command, options, async (context, { args: [name = ""], options: given }) => {
    const { project, user, type, ...rest } = given;
    const wanted = Object.fromEntries(
      Object.entries(rest).flatMap(([key, value]) => value === undefined ? [] : [[columnOf(key), value]]),
    );
    if (Object.keys(wanted).length === 0) {
      throw new MonitorError(
        "usage",
        `Nothing to write about "${name}": give at least one option, such as --owner`,
      );
    }
    const api = await context.api();
    const annotated = await context.progress(
      `Annotating ${name}`,
      () => api.updateJob({ name, project, user, type }, wanted),
    );
    context.show(annotated, () => annotatedLines(context, annotated, Object.keys(wanted)));
    for (const warning of annotated.warnings) context.warn(warning);
    return EXIT.fine;
  });
}

/** `successCriteria` → `success_criteria`. */
function columnOf(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function* annotatedLines(
  { stdout: { paint } }: Context,
  { job }: AnnotatedJob,
  changed: readonly string[],
): Generator<string> {
  yield `${paint.green("✓")} ${paint.bold(oneLine(nameOfJob(job)))}`;
  for (const column of annotations.keyof().options) {
    const value = job[column];
    const mark = changed.includes(column) ? paint.yellow("*") : " ";
    const label = paint.dim(column.replaceAll("_", " ").padEnd(23));
    yield `${mark} ${label} ${value === null ? paint.dim("-") : oneLine(String(value))}`;
  }
}
