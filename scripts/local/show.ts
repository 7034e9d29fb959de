/** How the stack tells what it found, which alerts arrived, and how to go on. */
import type { SinkDelivery } from "../../tests/fakes/sink.ts";
import type { CheckAnswer, ProjectReport } from "./first_look.ts";
import { type Cell, type Column, type Screen, tableLines, wrap } from "./screen.ts";
import type { StackInfo } from "./state.ts";

const COLUMNS: Column[] = [
  { title: "project", align: "left" },
  { title: "jobs", align: "right" },
  { title: "healthy", align: "right" },
  { title: "failed", align: "right" },
  { title: "missed", align: "right" },
  { title: "unknown", align: "right" },
  { title: "paused", align: "right" },
  { title: "", align: "left" },
];

/** One line a project, and their sum. */
export function showCheck(screen: Screen, answer: CheckAnswer): void {
  const rows = answer.projects.map((report) => projectRow(screen, report));
  const total = countsRow(screen, { text: "total", paint: screen.paint.bold }, answer);
  screen.print();
  for (const line of tableLines(screen.paint, COLUMNS, [...rows, total])) screen.print(`  ${line}`);
}

function projectRow(screen: Screen, report: ProjectReport): Cell[] {
  if (report.status === "ok") return countsRow(screen, { text: report.project }, report);
  const { paint } = screen;
  const dash = { text: "-", paint: paint.dim };
  const error = { text: report.error?.message ?? "could not be read", paint: paint.red };
  return [{ text: report.project, paint: paint.red }, dash, dash, dash, dash, dash, dash, error];
}

function countsRow({ paint }: Screen, name: Cell, counts: Omit<ProjectReport, "project" | "status">): Cell[] {
  const cell = (count: number, colour: (text: string) => string): Cell => ({
    text: String(count),
    paint: count === 0 ? paint.dim : colour,
  });
  return [
    name,
    cell(counts.jobs, paint.bold),
    cell(counts.healthy, paint.green),
    cell(counts.failed, paint.red),
    cell(counts.missed, paint.yellow),
    cell(counts.unknown, paint.magenta),
    cell(counts.paused, paint.cyan),
    { text: "" },
  ];
}

/** An alert as its reader sees it; one that the channel refused, as it was sent. */
export function showAlert(screen: Screen, { channel, accepted, status, text, raw, at }: SinkDelivery): void {
  const { paint } = screen;
  const colour = accepted ? paint.blue : paint.red;
  const bar = colour("│");
  const verdict = accepted ? "" : ` refused (${status})`;
  const [title = "", ...rest] = (text ?? JSON.stringify(raw)).split("\n");
  screen.print();
  screen.print(`  ${bar} ${colour(`${channel}${verdict}`)} ${paint.dim(`at ${at.slice(11, 19)} UTC`)}`);
  for (const line of wrap(title, screen.width - 4)) screen.print(`  ${bar} ${paint.bold(line)}`);
  for (const line of wrap(rest.join("\n"), screen.width - 4)) screen.print(`  ${bar} ${line}`.trimEnd());
}

/** Addresses, and what to try next. `run` is how tasks are run here. */
export function showAddresses(screen: Screen, info: StackInfo, infoPath: string, run: string): void {
  const { paint } = screen;
  const entry = (name: string, value: string) => screen.print(`  ${paint.dim(name.padEnd(11))} ${value}`);
  screen.print();
  entry("Functions", paint.cyan(info.functions_url));
  entry("Alerts", paint.cyan(`${info.sink_url}/deliveries`));
  entry("Hub", paint.cyan(info.hub_db_url));
  entry("All of it", infoPath);
  screen.print();
  entry("Look", `${run} monitor quick-start`);
  entry("Check", `curl -X POST ${info.functions_url}/check-job-health -H 'apikey: ${info.secret_key}'`);
  entry("The same", "select monitoring.invoke_edge_function('check-job-health');  -- on the hub, by pg_net");
  entry("Stop", `Ctrl-C, or ${run} stop`);
}
