/** `monitor metrics` and `monitor metric test`: the latest numbers of the projects, and trying one now. */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import {
  formatMetric,
  seriesName,
  thresholdsInWords,
} from "../../../supabase/functions/_shared/rules/metric_text.ts";
import type { MetricAlarm, MetricSeverity } from "../../../supabase/functions/_shared/domain/metric.ts";
import { type Paint, wrap } from "../../local/screen.ts";
import type { CollectionAnswer } from "../answers.ts";
import { type Context, EXIT, projectOption, type Runner } from "../context.ts";
import { examples, task } from "../help.ts";
import type { Metric } from "../metric_tables.ts";
import { sparkline } from "../sparkline.ts";
import { type Cell, type Column, tableLines } from "../table.ts";
import { agoCell, counted } from "../words.ts";

const INDENT = "    ";

const listOptions = z.object({
  ...projectOption,
  all: z.boolean().default(false),
  fail: z.boolean().default(false),
});

export function addMetrics(program: Command, runner: Runner): void {
  const list = program.command("metrics")
    .description("List the latest number of every metric, the last day as a line, and how bad it is")
    .argument("[name]", "only this metric")
    .option("--project <name>", "only this project")
    .option("--all", "also those that do not apply to a project")
    .option("--fail", "exit 1 if a number is a warning or critical, or its query failed")
    .addHelpText("after", examples(["metrics", "metrics queue_depth --project smoothed", "metrics --fail"]));
  runner.does(list, listOptions, async (context, { args: [name], options: { project, all, fail } }) => {
    const api = await context.api();
    const metrics = await context.progress(
      "Reading the metrics",
      () => api.listMetrics({ project, name, which: all ? "all" : "applicable" }),
    );
    context.show(metrics, () => metricLines(context, metrics));
    return fail && metrics.some(isBad) ? EXIT.unhealthy : EXIT.fine;
  });
  const metric = program.command("metric").helpCommand(false).description("Try a metric");
  const test = metric.command("test")
    .description("Ask for one metric now and show its rows; stores nothing, works for those that are off too")
    .argument("<name>", "its name in metric_definitions")
    .option("--project <name>", "only this project")
    .addHelpText(
      "after",
      examples(["metric test database_size", "metric test queue_depth --project smoothed"]),
    );
  runner.does(test, z.object(projectOption), async (context, { args: [name = ""], options: { project } }) => {
    const api = await context.api();
    const report = await context.progress(`Asking for ${name}`, () => api.testMetric(name, project));
    context.show(report, () => testLines(context, report));
    return report.failed + report.not_asked + report.errors > 0 ? EXIT.cannot : EXIT.fine;
  });
}

function isBad({ severity, status }: Metric): boolean {
  return severity === "warning" || severity === "critical" || status === "failed";
}

// --- the list ---

const LIST_COLUMNS: readonly Column[] = [
  { title: "" },
  { title: "metric", narrowest: 20 },
  { title: "project", narrowest: 8 },
  { title: "value", align: "right" },
  { title: "last 24 h" },
  { title: "read" },
  { title: "thresholds", narrowest: 12 },
];

function* metricLines(context: Context, metrics: readonly Metric[]): Generator<string> {
  const { stdout, world } = context;
  const { paint } = stdout;
  if (metrics.length === 0) {
    yield "No metric was collected yet: collect-metrics runs every five minutes once the schedules are on.";
    yield paint.dim(`Try one now: ${task("metric test database_size")}`);
    return;
  }
  const [head = "", ...rows] = tableLines(
    stdout,
    LIST_COLUMNS,
    metrics.map((metric) => listCells(paint, metric, world.now())),
  );
  yield head;
  for (const [index, row] of rows.entries()) {
    yield row;
    const why = whyLine(metrics[index]);
    if (why !== null) {
      yield* wrap(why, stdout.width - INDENT.length).map((line) => paint.dim(`${INDENT}${line}`));
    }
  }
}

function listCells(paint: Paint, metric: Metric, now: number): Cell[] {
  const { metric_name, labels, project_name, value, unit, severity, alarm, status } = metric;
  return [
    status === "not_applicable"
      ? { text: "- none here", paint: paint.dim }
      : severityCell(paint, severity, alarm),
    { text: seriesName(metric_name, labels), paint: paint.bold },
    { text: project_name },
    { text: value === null ? "" : formatMetric(value, unit) },
    { text: sparkline(metric.history), paint: paint.cyan },
    agoCell(paint, metric.recorded_at ?? metric.asked_at, now),
    { text: thresholdsInWords({ ...metric, judgedBy: metric.judged_by }), paint: paint.dim },
  ];
}

/** What the value alone does not say. */
function whyLine(metric: Metric | undefined): string | null {
  if (metric === undefined) return null;
  const { status, error, severity, summary, judged_by, value } = metric;
  if (status !== "ok") return oneLine(error ?? "");
  const told = severity === "unknown" || judged_by === "own weeks" || value === null;
  return told && summary !== null ? oneLine(summary) : null;
}

const SEVERITIES: Readonly<Record<MetricSeverity, { symbol: string; colour: keyof Paint }>> = {
  ok: { symbol: "✓", colour: "green" },
  warning: { symbol: "!", colour: "yellow" },
  critical: { symbol: "✗", colour: "red" },
  unknown: { symbol: "?", colour: "magenta" },
};

/** `✗ critical`; `pending` while it has not lasted long enough to alert. */
function severityCell(paint: Paint, severity: MetricSeverity, alarm: MetricAlarm): Cell {
  const { symbol, colour } = SEVERITIES[severity];
  const bad = severity === "warning" || severity === "critical";
  return { text: `${symbol} ${severity}${bad && alarm === "none" ? ", pending" : ""}`, paint: paint[colour] };
}

// --- the test ---

const TEST_COLUMNS: readonly Column[] = [
  { title: "project" },
  { title: "" },
  { title: "series", narrowest: 20 },
  { title: "value", align: "right" },
  { title: "took", align: "right" },
  { title: "", narrowest: 30 },
];

function* testLines({ stdout }: Context, report: CollectionAnswer): Generator<string> {
  const { paint } = stdout;
  yield* tableLines(
    stdout,
    TEST_COLUMNS,
    report.projects.flatMap((project) => testCells(paint, project)),
  );
  for (const fault of report.faults) yield paint.yellow(`! ${oneLine(fault)}`);
  yield "";
  const rows = Object.values(report.numbers).reduce((total, count) => total + count, 0);
  yield paint.dim(`${counted(rows, "number")}; nothing was stored, nothing is alerted.`);
}

function testCells(
  paint: Paint,
  { project, error, metrics }: CollectionAnswer["projects"][number],
): Cell[][] {
  const name: Cell = { text: project, paint: paint.bold };
  const none: Cell = { text: "" };
  if (error !== undefined) {
    return [[name, { text: "✗ error", paint: paint.red }, none, none, none, { text: error.message }]];
  }
  return metrics.flatMap((metric): Cell[][] => {
    const took: Cell = { text: metric.took_ms === null ? "" : `${metric.took_ms} ms`, paint: paint.dim };
    if (metric.status !== "ok") {
      const state: Cell = metric.status === "failed"
        ? { text: "✗ failed", paint: paint.red }
        : { text: `- ${metric.status.replace("_", " ")}`, paint: paint.dim };
      return [[name, state, none, none, took, { text: oneLine(metric.error ?? "") }]];
    }
    if (metric.rows.length === 0) {
      return [[name, { text: "✓ ok", paint: paint.green }, none, none, took, {
        text: "no rows: nothing to report",
      }]];
    }
    return metric.rows.map(({ labels, value, severity, alarm, summary }) => [
      name,
      severityCell(paint, severity, alarm),
      { text: Object.keys(labels).length === 0 ? "" : seriesName("", labels).trim() },
      { text: value === null ? "" : formatMetric(value, metric.unit) },
      took,
      { text: severity === "unknown" ? oneLine(summary ?? "") : "" },
    ]);
  });
}
