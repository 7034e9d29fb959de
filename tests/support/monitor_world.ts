/** A world for the command line without a terminal or a hub: what it prints is kept, what it asks is answered by a test. */
import type { Monitor, World } from "../../scripts/monitor/context.ts";
import type { FindOptions } from "../../scripts/monitor/connection.ts";
import { runMonitor } from "../../scripts/monitor/program.ts";
import type { Job } from "../../scripts/monitor/hub_tables.ts";
import type { Paint } from "../../scripts/local/screen.ts";
import { NOON } from "./facts.ts";

/** What a command line came to. */
export interface Printed {
  code: number;
  stdout: string;
  stderr: string;
  /** How each monitor was asked for. */
  connections: FindOptions[];
}

const COLOURS = ["bold", "dim", "red", "green", "yellow", "blue", "magenta", "cyan"] as const;

/** Paints by names: `<red>text</red>`. */
export const NAMED_PAINT = Object.fromEntries(
  COLOURS.map((colour) => [colour, (text: string) => `<${colour}>${text}</${colour}>`]),
) as Paint;
/** Off a terminal. */
export const PLAIN_PAINT = Object.fromEntries(
  COLOURS.map((colour) => [colour, (text: string) => text]),
) as Paint;

/** Runs a command line against a monitor of which only the given methods exist. */
export async function runWith(
  args: readonly string[],
  monitor: Partial<Monitor> = {},
  world: { stdin?: string; width?: number } = {},
): Promise<Printed> {
  const printed: Printed = { code: -1, stdout: "", stderr: "", connections: [] };
  const terminal = (stream: "stdout" | "stderr") => ({
    paint: PLAIN_PAINT,
    width: world.width ?? Infinity,
    isTerminal: false,
    print: (text = "") => void (printed[stream] += `${text}\n`),
    write: (text: string) => void (printed[stream] += text),
  });
  const whole: World = {
    stdout: terminal("stdout"),
    stderr: terminal("stderr"),
    connect: (options) => {
      printed.connections.push(options);
      return Promise.resolve(partialMonitor(monitor));
    },
    stdin: () => new Blob([world.stdin ?? ""]).stream(),
    now: () => NOON,
  };
  printed.code = await runMonitor(args, whole);
  return printed;
}

function partialMonitor(methods: Partial<Monitor>): Monitor {
  return new Proxy({ close: () => Promise.resolve(), ...methods } as Monitor, {
    get: (target, name) => {
      if (name in target || name === "then") return Reflect.get(target, name);
      throw new Error(`The command asked for "${String(name)}", which this test does not answer`);
    },
  });
}

/** A job of the inventory: healthy, hourly, annotated. */
export function shownJob(over: Partial<Job> = {}): Job {
  return {
    id: "5d0e0f6e-8d7c-4c39-a4f5-b0f7a1a7e001",
    project_name: "smoothed",
    job_type: "pg_cron",
    job_name: "sync_leads",
    job_user: "postgres",
    job_id: 1,
    schedule: "0 * * * *",
    time_zone: "GMT",
    pg_cron_version: "1.6",
    active: true,
    expected_interval_minutes: 60,
    description: "Copies leads",
    success_criteria: null,
    criticality: "important",
    alert_channel: null,
    owner: "data team",
    runbook_url: null,
    grace_minutes: null,
    max_runtime_minutes: null,
    failure_threshold: null,
    min_rows: null,
    check_body_ok: null,
    warnings: [],
    success_check_sql: null,
    health_check_url: null,
    health_check_header: null,
    health_check_status: null,
    health_check_body: null,
    health_check_timeout_ms: null,
    health_check_max_ms: null,
    max_error_percent: null,
    min_invocations: null,
    max_silence_minutes: null,
    first_seen_at: new Date(NOON).toISOString(),
    last_seen_at: new Date(NOON).toISOString(),
    removed_at: null,
    status: "healthy",
    verdict: null,
    summary: "the last run succeeded",
    status_since: new Date(NOON).toISOString(),
    last_run_at: new Date(NOON - 12 * 60_000).toISOString(),
    last_success_at: null,
    consecutive_failures: 0,
    checked_at: new Date(NOON).toISOString(),
    ...over,
  };
}
