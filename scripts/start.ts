/** `deno task start`: the local stack, from nothing to the first alert. `--help` tells the options. */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import type { SinkDelivery } from "../tests/fakes/sink.ts";
import {
  check,
  type CheckAnswer,
  deliver,
  type DeliveryOutcome,
  discover,
  FunctionCallError,
  minutesSinceLastCheck,
} from "./local/first_look.ts";
import { FunctionPackagesError } from "./local/function_process.ts";
import { FunctionsConfigError } from "./local/functions_config.ts";
import { DEMO_PROJECTS, seedDemoHistory } from "./local/demo_history.ts";
import { catchInterruption, Interrupted } from "./local/interruption.ts";
import { choosePorts, PORT_ROLES, PortsError, portVariable } from "./local/ports.ts";
import { LocalPostgresError } from "./local/postgres.ts";
import { REPOSITORY, USER_SECRETS } from "./local/repository.ts";
import { createScreen, type Screen, wrap } from "./local/screen.ts";
import { showAddresses, showAlert, showCheck } from "./local/show.ts";
import {
  HUB,
  logDirOf,
  type Stack,
  type StackOptions,
  StackRunningError,
  withClient,
  withStack,
} from "./local/stack.ts";
import { infoPath, readStackInfo } from "./local/state.ts";
import { taskRunner } from "./local/task_runner.ts";

const HELP = `Starts the local stack: four Postgres servers with pg_cron, the functions, a sink for alerts.
Creates demo jobs, discovers and checks them, shows the alerts, and stays up with pg_cron firing the functions.

Options
  --once           do all that, stop everything, exit
  --json           print one JSON summary on standard output, everything else on standard error
  --no-demo        create no demo jobs
  --history        give the hub five weeks of a made-up past (projects demo-…) for reports and dashboards to show
  --fresh          begin with new, empty databases and new keys
  --port-base N    put the gateway on port N and the others behind it (default 54321; STACK_PORT_BASE)
  --secrets FILE   give the functions the secrets of FILE (default supabase/functions/.env)
  --root-dir DIR   keep the state in DIR (default .local; STACK_ROOT_DIR)
  --help           show this

One port alone: ${PORT_ROLES.map(portVariable).join(", ")}.
Secrets of your own for the functions are lines KEY=VALUE; they win over the stack's.
Exit codes: 0 fine, 1 something of the loop failed, 2 cannot start as asked, 130 interrupted while starting.`;

/** What the command line asked for. */
interface Command {
  mode: "once" | "stay";
  output: "text" | "json";
  /** `demo`: with a made-up past. */
  history: "own" | "demo";
  stack: Pick<StackOptions, "rootDir" | "ports" | "data" | "jobs" | "secretsFile">;
}

/** What the first look came to. */
interface Outcome {
  startedInMs: number;
  check: CheckAnswer | undefined;
  delivery: DeliveryOutcome | undefined;
  /** What went wrong in the loop itself; a failing job is none of it. */
  faults: string[];
}

/** Shorter breaks leave nothing missed: it is the least grace of a job. */
const DOWN_NOTE_MINUTES = 2.5;

const EXIT = { fine: 0, faulty: 1, cannotStart: 2, interrupted: 130 };

function readCommand(args: string[]): Command | "help" {
  const portOptions = Object.fromEntries(
    PORT_ROLES.map((role) => [`${role}-port`, { type: "string" as const }]),
  );
  const { values } = parseArgs({
    args,
    options: {
      ...portOptions,
      once: { type: "boolean" },
      json: { type: "boolean" },
      "no-demo": { type: "boolean" },
      history: { type: "boolean" },
      fresh: { type: "boolean" },
      "port-base": { type: "string" },
      "root-dir": { type: "string" },
      // not --env-file: npx lets Node 20 read an option of that name for itself
      secrets: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return "help";
  const env = (name: string) => Deno.env.get(name) || undefined;
  const text = (value: unknown) => typeof value === "string" ? value : undefined;
  const chosen = PORT_ROLES.map((role) => [
    role,
    text((values as Record<string, unknown>)[`${role}-port`]) ?? env(portVariable(role)),
  ]);
  return {
    mode: values.once ? "once" : "stay",
    output: values.json ? "json" : "text",
    history: values.history ? "demo" : "own",
    stack: {
      rootDir: values["root-dir"] ?? env("STACK_ROOT_DIR") ?? join(REPOSITORY, ".local"),
      ports: choosePorts(values["port-base"] ?? env("STACK_PORT_BASE"), Object.fromEntries(chosen)),
      data: values.fresh ? "fresh" : "keep",
      jobs: values["no-demo"] ? "none" : "demo",
      secretsFile: secretsFileOf(values.secrets),
    },
  };
}

/** The file that was named must be there; the usual one need not. */
function secretsFileOf(named: string | undefined): string {
  if (named === undefined) return USER_SECRETS;
  if (existsSync(named)) return named;
  throw new Error(`Cannot read the secrets of "${named}": there is no such file`);
}

async function main(args: string[]): Promise<number> {
  let command: Command | "help";
  try {
    command = readCommand(args);
  } catch (error) {
    const screen = createScreen("stderr");
    screen.error(messageOf(error));
    screen.detail(`See ${taskRunner()} start --help`);
    return EXIT.cannotStart;
  }
  if (command === "help") {
    createScreen("stdout").print(HELP);
    return EXIT.fine;
  }
  return await runCommand(command, createScreen(command.output === "json" ? "stderr" : "stdout"));
}

async function runCommand(command: Command, screen: Screen): Promise<number> {
  const began = performance.now();
  const alerts: SinkDelivery[] = [];
  const onAlert = (alert: SinkDelivery) => {
    alerts.push(alert);
    showAlert(screen, alert);
  };
  const interruption = catchInterruption();
  const options: StackOptions = { ...command.stack, screen, onAlert, signal: interruption.signal };
  // On the way up an interruption is a failure to start; once up it is how the stack ends.
  let up = false;
  try {
    return await withStack(options, async (stack) => {
      const outcome = await firstLook(stack, options, began);
      if (command.history === "demo") await addHistory(stack, screen);
      showOutcome(screen, outcome, command);
      if (command.output === "json") printSummary(stack, outcome, alerts);
      if (command.mode === "once") return outcome.faults.length > 0 ? EXIT.faulty : EXIT.fine;
      await settleIn(screen, stack, command);
      up = true;
      return await interruption.forever;
    });
  } catch (error) {
    // Ctrl-C reaches the servers' programs too, and the first of them to fail may be heard before the signal is.
    const interrupted = error instanceof Interrupted || interruption.signal.reason instanceof Interrupted;
    if (!interrupted) return explain(screen, error, command);
    if (!up) screen.warn("Interrupted while starting; nothing is left running");
    return up ? EXIT.fine : EXIT.interrupted;
  } finally {
    interruption.dispose();
  }
}

async function firstLook(stack: Stack, options: StackOptions, began: number): Promise<Outcome> {
  const { screen } = options;
  const outcome: Outcome = { startedInMs: 0, check: undefined, delivery: undefined, faults: [] };
  for (const { error } of stack.bootFailures) {
    outcome.faults.push(error);
  }
  try {
    const down = await minutesSinceLastCheck(stack);
    if (down !== null && down >= DOWN_NOTE_MINUTES) {
      screen.detail(
        `Nothing ran for ${Math.round(down)} min: jobs that were due meanwhile count as missed`,
      );
    }
    await screen.step("Discovery", () => discover(stack, options));
    outcome.check = await screen.step("First check", () => check(stack));
    showCheck(screen, outcome.check);
    for (const { project, error } of outcome.check.projects) {
      if (error !== undefined) outcome.faults.push(`Project "${project}": ${error.message}`);
    }
    outcome.delivery = await deliver(stack);
    outcome.faults.push(...outcome.delivery.faults);
  } catch (error) {
    if (!(error instanceof FunctionCallError)) throw error;
    outcome.faults.push(error.message);
  }
  outcome.startedInMs = Math.round(performance.now() - began);
  return outcome;
}

/** After the first look, which tells of what is really there. */
async function addHistory({ info }: Stack, screen: Screen): Promise<void> {
  await screen.step(
    "Demo history",
    () => withClient(info.hub_db_url, (sql) => seedDemoHistory(sql)),
    () => `five weeks of ${DEMO_PROJECTS.join(", ")}, which nobody watches`,
  );
}

function showOutcome(screen: Screen, { delivery, faults, startedInMs }: Outcome, { stack }: Command): void {
  screen.print();
  if (delivery !== undefined && delivery.sent === 0) {
    screen.print(`  No new alert; ${delivery.openIncidents} open incidents were told before.`);
  }
  for (const fault of faults) screen.error(fault);
  if (faults.length > 0) screen.detail(`The functions' logs are in ${shortPath(logDirOf(stack.rootDir))}`);
  screen.print(screen.paint.dim(`  From start to the last alert: ${(startedInMs / 1000).toFixed(1)} s`));
}

function printSummary(
  { info }: Stack,
  { check, delivery, startedInMs }: Outcome,
  alerts: SinkDelivery[],
): void {
  const { jobs, healthy, failed, missed, unknown, paused, projects } = check ?? NOTHING_CHECKED;
  const accepted = alerts.filter((alert) => alert.accepted);
  const summary = {
    projects,
    ...{ jobs, healthy, failed, missed, unknown, paused },
    incidents: delivery?.openIncidents ?? 0,
    // A webhook of the user's own takes alerts past the sink.
    alerts_delivered: Math.max(accepted.length, delivery?.sent ?? 0),
    alerts: accepted.map(({ at, channel, text }) => ({ at, channel, text })),
    started_in_ms: startedInMs,
    gateway_url: info.gateway_url,
  };
  createScreen("stdout").print(JSON.stringify(summary));
}

const NOTHING_CHECKED = { jobs: 0, healthy: 0, failed: 0, missed: 0, unknown: 0, paused: 0, projects: [] };

/** Lets pg_cron fire the functions, and tells how to go on. */
async function settleIn(screen: Screen, { info }: Stack, { stack }: Command): Promise<void> {
  const schedules = await withClient(info.hub_db_url, async (sql) => {
    const rows = await sql<{ line: string }[]>`select line from monitoring.enable_schedules() as line`;
    return rows.map(({ line }) => line);
  });
  showAddresses(screen, info, shortPath(infoPath(stack.rootDir)), taskRunner());
  screen.print();
  const firing = `pg_cron on ${HUB} now fires ${schedules.join(", ")}. Alerts appear here as they arrive.`;
  for (const line of wrap(firing, screen.width - 2)) screen.print(`  ${line}`);
}

/** What went wrong, and what to do, for a person; a fault of the machine or the command is not one of the stack. */
async function explain(screen: Screen, error: unknown, { stack }: Command): Promise<number> {
  if (error instanceof StackRunningError) {
    const info = await readStackInfo(stack.rootDir);
    screen.error(error.message);
    if (info !== undefined) {
      screen.detail(`Its functions are at ${info.functions_url}, since ${info.started_at}`);
    }
    screen.detail(`Use it, or stop it first: ${taskRunner()} stop`);
    return EXIT.cannotStart;
  }
  screen.error(messageOf(error));
  if (/no space left/i.test(messageOf(error))) {
    screen.detail("Free some space and start again: a stack takes about 200 MB");
    return EXIT.cannotStart;
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    screen.detail(`Keep the state in a folder that you may write to: ${taskRunner()} start --root-dir DIR`);
    return EXIT.cannotStart;
  }
  if (KNOWN_ERRORS.some((kind) => error instanceof kind)) return EXIT.cannotStart;
  screen.detail(`The functions' logs are in ${shortPath(logDirOf(stack.rootDir))}`);
  return EXIT.faulty;
}

/** Errors whose message says what to do. */
const KNOWN_ERRORS = [LocalPostgresError, PortsError, FunctionsConfigError, FunctionPackagesError];

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function shortPath(path: string): string {
  const short = relative(Deno.cwd(), path);
  return short.startsWith("..") ? path : short;
}

if (import.meta.main) {
  // The stack talks to itself; a proxy for the outside has no part in it.
  const noProxy = Deno.env.get("NO_PROXY") ?? Deno.env.get("no_proxy") ?? "";
  Deno.env.set("NO_PROXY", [noProxy, "127.0.0.1", "localhost"].filter((host) => host !== "").join(","));
  Deno.exit(await main(Deno.args));
}
