import assert from "node:assert/strict";
import type { CollectionAnswer, Metric } from "../../scripts/monitoring_api.ts";
import { sparkline } from "../../scripts/monitor/sparkline.ts";
import { MINUTE, NOON } from "../support/facts.ts";
import { runWith } from "../support/monitor_world.ts";

function metric(over: Partial<Metric> = {}): Metric {
  return {
    metric_name: "queue_depth",
    project_name: "smoothed",
    labels: {},
    unit: "jobs",
    direction: "up",
    judged_by: "value",
    warning: 100,
    critical: 1000,
    status: "ok",
    error: null,
    asked_at: new Date(NOON - 2 * MINUTE).toISOString(),
    value: 12,
    severity: "ok",
    severity_since: new Date(NOON).toISOString(),
    summary: "12 jobs",
    alarm: "none",
    recorded_at: new Date(NOON - 2 * MINUTE).toISOString(),
    history: [null, 0, 5, 12],
    ...over,
  };
}

function answer(over: Partial<CollectionAnswer> = {}): CollectionAnswer {
  return {
    ...{ ok: true, request_id: "r", collected_at: "", dry_run: true },
    numbers: { ok: 0, warning: 0, critical: 0, unknown: 0 },
    ...{ failed: 0, not_asked: 0, errors: 0, faults: [], incidents_opened: 0, incidents_resolved: 0 },
    projects: [],
    ...over,
  };
}

const listing = (...metrics: Metric[]) => ({ listMetrics: () => Promise.resolve(metrics) });

Deno.test("a sparkline runs from the least to the greatest and shows gaps", () => {
  assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7]), "▁▂▃▄▅▆▇█");
  assert.equal(sparkline([null, -1, null, 1]), "·▁·█");
  assert.equal(sparkline([5, 5]), "▁▁");
  assert.equal(sparkline([-Number.MAX_VALUE, Number.MAX_VALUE]), "▁█");
  assert.equal(sparkline([null, null]), "");
  assert.equal(sparkline([]), "");
});

Deno.test("metrics: value, line of the last day, age, thresholds and state of each series", async () => {
  const { code, stdout } = await runWith(
    ["metrics"],
    listing(
      metric({
        metric_name: "dead_tuples",
        labels: { table: "orders" },
        unit: "percent",
        value: 55.25,
        severity: "warning",
      }),
      metric({ severity: "critical", alarm: "critical", value: 1240 }),
      metric({ project_name: "crm" }),
    ),
  );
  assert.equal(code, 0);
  assert.deepEqual(stdout.trimEnd().split("\n").map((line) => line.trim().split(/\s{2,}/)), [
    ["metric", "project", "value", "last 24 h", "read", "thresholds"],
    [
      "! warning, pending",
      "dead_tuples (table orders)",
      "smoothed",
      "55.25 %",
      "·▁▄█",
      "2 min ago, 11:58 UTC",
      "warning from 100 %, critical from 1,000 %",
    ],
    [
      "✗ critical",
      "queue_depth",
      "smoothed",
      "1,240 jobs",
      "·▁▄█",
      "2 min ago, 11:58 UTC",
      "warning from 100 jobs, critical from 1,000 jobs",
    ],
    [
      "✓ ok",
      "queue_depth",
      "crm",
      "12 jobs",
      "·▁▄█",
      "2 min ago, 11:58 UTC",
      "warning from 100 jobs, critical from 1,000 jobs",
    ],
  ]);
});

Deno.test("metrics: a number that is not there says why, and is never shown as ok", async () => {
  const { stdout } = await runWith(
    ["metrics", "--all"],
    listing(
      metric({ status: "failed", error: 'relation "x" does not exist', severity: "unknown", value: null }),
      metric({ severity: "unknown", summary: "4 weeks of history are needed", judged_by: "own weeks" }),
      metric({
        status: "not_applicable",
        error: "the project has no public.jobs",
        severity: "unknown",
        value: null,
      }),
    ),
  );
  const lines = stdout.split("\n").map((line) => line.trim());
  assert.match(lines[1] ?? "", /^\? unknown/);
  assert.equal(lines[2], 'relation "x" does not exist');
  assert.equal(lines[4], "4 weeks of history are needed");
  assert.match(lines[5] ?? "", /^- none here/);
  assert.equal(lines[6], "the project has no public.jobs");
  assert.doesNotMatch(stdout, /✓/);
});

Deno.test("metrics --fail: exit 1 for warnings, critical numbers and failed queries; a hub without any says what to do", async () => {
  const fails = async (one: Metric) => (await runWith(["metrics", "--fail"], listing(one))).code;
  assert.equal(await fails(metric()), 0);
  assert.equal(await fails(metric({ severity: "unknown" })), 0);
  assert.equal(await fails(metric({ severity: "warning" })), 1);
  assert.equal(await fails(metric({ status: "failed", severity: "unknown" })), 1);
  const { stdout } = await runWith(["metrics"], listing());
  assert.match(stdout, /No metric was collected yet/);
});

Deno.test("metrics: name and project narrow the list", async () => {
  const asked: unknown[] = [];
  const monitor = { listMetrics: (filter: unknown) => (asked.push(filter), Promise.resolve([metric()])) };
  await runWith(["metrics", "queue_depth", "--project", "crm"], monitor as never);
  assert.deepEqual(asked, [{ name: "queue_depth", project: "crm", which: "applicable" }]);
});

Deno.test("metric test: rows of every project, failures in their own words, nothing stored", async () => {
  const row = {
    labels: { model: "small" },
    value: 7,
    severity: "ok",
    alarm: "none",
    summary: "7 jobs",
  } as const;
  const base = { status: "ok", incidents_opened: 0, incidents_resolved: 0 } as const;
  const report = answer({
    numbers: { ok: 1, warning: 0, critical: 0, unknown: 0 },
    failed: 1,
    errors: 1,
    projects: [
      {
        ...base,
        project: "crm",
        metrics: [{ metric: "m", unit: "jobs", status: "ok", took_ms: 3, rows: [row] }],
      },
      {
        ...base,
        project: "scraping",
        metrics: [{
          metric: "m",
          unit: "jobs",
          status: "failed",
          error: "division by zero",
          took_ms: 1,
          rows: [],
        }],
      },
      {
        ...base,
        project: "smoothed",
        status: "error",
        error: { code: "unreachable", message: "Cannot connect" },
        metrics: [],
      },
      {
        ...base,
        project: "thordata",
        metrics: [{ metric: "m", unit: "jobs", status: "ok", took_ms: 2, rows: [] }],
      },
    ],
  });
  const asked: unknown[] = [];
  const testMetric = (...args: unknown[]) => (asked.push(args), Promise.resolve(report));
  const { code, stdout } = await runWith(
    ["metric", "test", "m", "--project", "crm"],
    { testMetric } as never,
  );
  assert.deepEqual([code, asked], [2, [["m", "crm"]]]);
  assert.deepEqual(stdout.trimEnd().split("\n").slice(1).map((line) => line.trim().split(/\s{2,}/)), [
    ["crm", "✓ ok", "(model small)", "7 jobs", "3 ms"],
    ["scraping", "✗ failed", "1 ms", "division by zero"],
    ["smoothed", "✗ error", "Cannot connect"],
    ["thordata", "✓ ok", "2 ms", "no rows: nothing to report"],
    [""],
    ["1 number; nothing was stored, nothing is alerted."],
  ]);
  const json = await runWith(["metric", "test", "m", "--json"], { testMetric } as never);
  assert.deepEqual(JSON.parse(json.stdout), report);
});
