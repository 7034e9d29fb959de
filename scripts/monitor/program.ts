/** The command line put together: commands, help, errors and exit codes. */
import { Command, CommanderError } from "commander";
import { oneLine } from "../../supabase/functions/_shared/rules/text.ts";
import { addActs } from "./commands/act.ts";
import { addAlert } from "./commands/alert.ts";
import { addAnnotate } from "./commands/annotate.ts";
import { addAudit } from "./commands/audit.ts";
import { addCheck } from "./commands/check.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addErrors } from "./commands/errors.ts";
import { addHeartbeat } from "./commands/heartbeat.ts";
import { addHistory } from "./commands/history.ts";
import { addIncidents } from "./commands/incidents.ts";
import { addJobs } from "./commands/jobs.ts";
import { addMetrics } from "./commands/metrics.ts";
import { addProject } from "./commands/project.ts";
import { addQuickStart } from "./commands/quick_start.ts";
import { addReplay } from "./commands/replay.ts";
import { addReport } from "./commands/report.ts";
import { addSchedule } from "./commands/schedule.ts";
import { addSilence, addSilences, addUnsilence } from "./commands/silence.ts";
import { createRunner, EXIT, type ExitCode, jsonText, type World } from "./context.ts";
import { MonitorError } from "./errors.ts";
import { examples, task } from "./help.ts";
import type { Terminal } from "./terminal.ts";

const HELP_WIDTH = 100;

/** Runs one command line and answers its exit code: 0 fine, 1 unhealthy where asked, 2 usage or connection. */
export async function runMonitor(args: readonly string[], world: World): Promise<ExitCode> {
  const runner = createRunner(world);
  const program = createProgram(world);
  program.commandsGroup("Look:");
  addQuickStart(program, runner);
  addJobs(program, runner);
  addIncidents(program, runner);
  addHistory(program, runner);
  addErrors(program, runner);
  addMetrics(program, runner);
  addReport(program, runner);
  addSilences(program, runner);
  addProject(program, runner);
  addDoctor(program, runner);
  program.commandsGroup("Act:");
  addAudit(program, runner);
  addCheck(program, runner);
  addAnnotate(program, runner);
  addActs(program, runner);
  addSilence(program, runner);
  addUnsilence(program, runner);
  addHeartbeat(program, runner);
  addAlert(program, runner);
  program.commandsGroup("Explain:");
  addSchedule(program, runner);
  addReplay(program, runner);
  program.helpCommand("help [command]", "show help of a command");
  if (args.length === 0) {
    program.outputHelp();
    return EXIT.fine;
  }
  try {
    await program.parseAsync([...args], { from: "user" });
    return runner.exitCode();
  } catch (error) {
    return explain(error, helpFor(program, args), world, { json: args.includes("--json") });
  }
}

function createProgram({ stdout, stderr }: World): Command {
  const { paint } = stdout;
  const width = ({ width }: Terminal) => Math.min(width, HELP_WIDTH);
  const coloured = ({ paint: { bold } }: Terminal) => bold("x") !== "x";
  return new Command(task("").trim())
    .description(
      "Knows every scheduled job of every watched project, and tells when one fails, is missed or goes silent.",
    )
    .option("--json", "print one JSON document on standard output")
    .option("--env", "go to the hub of .env and the environment, even while a local stack is up")
    .option("--root-dir <dir>", "folder of the local stack (default: .local; STACK_ROOT_DIR)")
    .helpOption("-h, --help", "show help")
    .addHelpText(
      "after",
      [
        examples([
          "quick-start",
          "check",
          "jobs --project smoothed",
          'annotate sync_leads --owner "data team"',
        ]),
        "",
        "Goes to the local stack while one is up, else to SUPABASE_URL with MONITOR_SECRET_KEY and SUPABASE_DB_URL",
        "from the environment or .env.",
        "Exit codes: 0 fine, 1 something is unhealthy (doctor, or with --fail), 2 usage or connection.",
      ].join("\n"),
    )
    .exitOverride()
    .configureHelp({
      showGlobalOptions: true,
      styleTitle: paint.bold,
      styleCommandText: paint.cyan,
      styleSubcommandTerm: paint.cyan,
      styleOptionTerm: paint.cyan,
    })
    .configureOutput({
      writeOut: stdout.write,
      writeErr: stderr.write,
      getOutHelpWidth: () => width(stdout),
      getErrHelpWidth: () => width(stderr),
      getOutHasColors: () => coloured(stdout),
      getErrHasColors: () => coloured(stderr),
      // errors are told by explain(), the same way for every kind
      outputError: () => {},
    });
}

/** Where to read on: the help of the command that was meant, also of one in a group. */
function helpFor(program: Command, args: readonly string[]): string {
  const command = meantCommand(program, args);
  if (command === undefined || command.name() === "help") return `See ${task("--help")}`;
  const inGroup = meantCommand(command, args.slice(args.indexOf(command.name()) + 1));
  return `See ${
    task(inGroup === undefined ? `help ${command.name()}` : `${command.name()} ${inGroup.name()} --help`)
  }`;
}

/** The first command that is named. */
function meantCommand(parent: Command, args: readonly string[]): Command | undefined {
  return args.flatMap((arg) => parent.commands.filter((command) => command.name() === arg))[0];
}

/** What went wrong, for a person on standard error, and for a program as JSON where it asked for that. */
function explain(
  error: unknown,
  help: string,
  { stdout, stderr }: World,
  { json }: { json: boolean },
): ExitCode {
  // help is shown already: because it was asked for, or because a group of commands was named without one of them
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.fine;
  if (error instanceof CommanderError && error.code === "commander.help") return EXIT.cannot;
  const { code, message, candidates, hints, origin, remoteCode, requestId } = known(error, help);
  if (json) {
    const details = {
      code,
      message,
      candidates,
      hints,
      origin,
      remote_code: remoteCode,
      request_id: requestId,
    };
    stdout.print(jsonText({ ok: false, error: details }));
  }
  const { paint } = stderr;
  stderr.print(`${paint.red("✗")} ${oneLine(message)}`);
  if (candidates.length > 0) stderr.print(`  ${code === "ambiguous" ? "They are:" : "Did you mean:"}`);
  for (const candidate of candidates) stderr.print(`    ${paint.cyan(oneLine(candidate))}`);
  if (origin !== undefined) stderr.print(paint.dim(`  Going to ${origin}`));
  for (const hint of hints) stderr.print(paint.dim(`  ${oneLine(hint)}`));
  return EXIT.cannot;
}

function known(error: unknown, help: string): MonitorError {
  if (error instanceof MonitorError) {
    const { message, hints, code } = error;
    return code === "usage" ? new MonitorError(code, message, { hints: [...hints, help] }) : error;
  }
  if (error instanceof CommanderError) {
    const [first = "", meant = ""] = error.message.replace(/^error: /, "").split("\n");
    const candidates = /\(Did you mean (?:one of )?(.+)\?\)/.exec(meant)?.[1]?.split(", ") ?? [];
    const message = first.charAt(0).toUpperCase() + first.slice(1).replace(/\.$/, "");
    return new MonitorError("usage", message, { candidates, hints: [help] });
  }
  // its text may hold anything
  const kind = error instanceof Error ? error.name : typeof error;
  return new MonitorError("internal", `Unexpected error (${kind})`, {
    hints: ["This is a fault of the command line itself"],
  });
}
