import assert from "node:assert/strict";
import type { MetricRow } from "../../supabase/functions/_shared/domain/metric.ts";
import { compareWithWeeks } from "../../supabase/functions/_shared/rules/metric_baseline.ts";
import { definitionsOf, dueDefinitions } from "../../supabase/functions/_shared/rules/metric_selection.ts";
import {
  formatMetric,
  safeLabels,
  seriesKey,
  seriesName,
  thresholdsInWords,
} from "../../supabase/functions/_shared/rules/metric_text.ts";
import { evaluateUnasked } from "../../supabase/functions/_shared/rules/metrics.ts";
import { percentileCont } from "../../supabase/functions/_shared/rules/percentile.ts";
import { alertRow } from "../support/alerts.ts";
import { MINUTE, NOON } from "../support/facts.ts";
import { type Brought, metricDefinition, metricWorld } from "../support/metrics.ts";

/** What each of some collections, five minutes apart, told. */
function newsOf(definition: ReturnType<typeof metricDefinition>, numbers: readonly Brought[]): string[][] {
  const world = metricWorld(definition);
  return numbers.map((number) => world.collect(number).news);
}

// --- thresholds ---

Deno.test("a threshold is reached at its own value: ok below it, a warning and critical from it on", () => {
  for (
    const [value, severity] of [[0, "ok"], [99.9, "ok"], [100, "warning"], [999, "warning"], [
      1000,
      "critical",
    ]] as const
  ) {
    assert.deepEqual(metricWorld(metricDefinition()).collect(value).state?.[1], severity, String(value));
  }
});

Deno.test("direction down turns both thresholds round", () => {
  const hitRate = metricDefinition({ direction: "down", warning: 97, critical: 90 });
  for (
    const [value, severity] of [[99, "ok"], [97, "warning"], [90.1, "warning"], [90, "critical"]] as const
  ) {
    assert.deepEqual(metricWorld(hitRate).collect(value).state?.[1], severity, String(value));
  }
  const { evaluation: { observations } } = metricWorld(hitRate).collect(80);
  const [opened] = observations.incidents ?? [];
  assert.ok(opened?.action === "open");
  assert.deepEqual([opened.code, opened.summary], [
    "below_critical",
    "it is 80 (critical from 90 down)",
  ]);
});

Deno.test("a metric without thresholds is ok whatever it says, and negative thresholds are thresholds", () => {
  assert.deepEqual(metricWorld(metricDefinition({ warning: null, critical: null })).collect(1e12).state, [
    "none",
    "ok",
  ]);
  const balance = metricDefinition({ direction: "down", warning: -10, critical: -100 });
  assert.deepEqual(metricWorld(balance).collect(-50).state, ["warning", "warning"]);
  assert.deepEqual(metricWorld(metricDefinition({ warning: null })).collect(500).state, ["none", "ok"]);
});

Deno.test("a warning is an incident of severity important, critical one of severity critical, and both owe a delivery", () => {
  for (
    const [value, code, severity] of [[100, "above_warning", "important"], [
      2000,
      "above_critical",
      "critical",
    ]] as const
  ) {
    const { evaluation } = metricWorld(metricDefinition({ unit: "jobs" })).collect(value);
    const [opened, ...more] = evaluation.observations.incidents ?? [];
    assert.ok(opened?.action === "open" && more.length === 0);
    assert.deepEqual([opened.code, opened.severity, opened.subjectKind, opened.subjectId], [
      code,
      severity,
      "metric",
      "smoothed/queue_depth",
    ]);
    assert.equal(opened.deliveries.length, 1);
    assert.equal(opened.detail.cause, "Jobs that wait");
    assert.deepEqual(opened.detail.facts, [
      { label: "Thresholds", value: "warning from 100 jobs, critical from 1,000 jobs" },
    ]);
  }
});

Deno.test("what grows graver is told anew, what eases as well, and each incident ends once", () => {
  assert.deepEqual(newsOf(metricDefinition(), [10, 150, 160, 1200, 1300, 150, 10, 10]), [
    [],
    ["opened above_warning"],
    [],
    ["opened above_critical"],
    [],
    ["resolved above_critical (superseded)"],
    ["resolved above_warning (recovered)"],
    [],
  ]);
  assert.deepEqual(newsOf(metricDefinition(), [1200, 150, 10]), [
    ["opened above_critical"],
    ["resolved above_critical (superseded)", "opened above_warning"],
    ["resolved above_warning (recovered)"],
  ]);
  assert.deepEqual(newsOf(metricDefinition(), [150, 1200, 10])[2], [
    "resolved above_warning (recovered)",
    "resolved above_critical (recovered)",
  ]);
});

// --- how long, and how far back ---

Deno.test("it alerts only once it has held for so many minutes, also where collections are some seconds early", () => {
  const patient = metricDefinition({ forMinutes: 10 });
  const world = metricWorld(patient);
  assert.deepEqual(world.collect(150).state, ["none", "warning"], "seen at once, alerted later");
  assert.deepEqual(world.collect(150).news, []);
  assert.deepEqual(world.collect(150, 4.99).news, ["opened above_warning"]);
  assert.deepEqual(newsOf(patient, [150, 150, 10, 150, 150, 150]), [[], [], [], [], [], [
    "opened above_warning",
  ]]);
});

Deno.test("a warning that has lasted alerts while critical has yet to", () => {
  assert.deepEqual(newsOf(metricDefinition({ forMinutes: 10 }), [150, 150, 1500, 1500, 1500]), [
    [],
    [],
    ["opened above_warning"],
    [],
    ["opened above_critical"],
  ]);
});

Deno.test("hysteresis: an alarm is over only once the number has come back by so much", () => {
  const sticky = metricDefinition({ hysteresis: 10 });
  assert.deepEqual(newsOf(sticky, [99, 100, 95, 99, 90.1, 90, 95]), [
    [],
    ["opened above_warning"],
    [],
    [],
    [],
    ["resolved above_warning (recovered)"],
    [],
  ]);
  assert.deepEqual(newsOf(sticky, [1000, 991, 990])[2], [
    "resolved above_critical (superseded)",
    "opened above_warning",
  ]);
  const down = metricDefinition({ direction: "down", warning: 97, critical: 90, hysteresis: 0.5 });
  assert.deepEqual(newsOf(down, [96, 97.4, 97.5]), [["opened below_warning"], [], [
    "resolved below_warning (recovered)",
  ]]);
});

Deno.test("what has not alerted yet begins anew when the number comes back, hysteresis or not", () => {
  const world = metricWorld(metricDefinition({ hysteresis: 50, forMinutes: 10 }));
  assert.deepEqual([150, 80, 150, 150].map((value) => world.collect(value).news).flat(), []);
  assert.deepEqual(world.collect(150).news, ["opened above_warning"]);
});

Deno.test("after a gap nobody knows whether it held, so the minutes count anew; an alarm goes on holding", () => {
  const world = metricWorld(metricDefinition({ forMinutes: 10 }));
  world.collect(150);
  assert.deepEqual(world.collect(150, 60).news, []);
  assert.deepEqual(world.collect(150, 10).news, ["opened above_warning"]);
  assert.deepEqual(world.collect(150, 600).news, []);
  assert.deepEqual(world.collect(50).news, ["resolved above_warning (recovered)"]);
});

// --- no number ---

Deno.test("no number is unknown, never ok, and neither begins nor ends anything", () => {
  const world = metricWorld(metricDefinition());
  assert.deepEqual(world.collect(null).state, ["none", "unknown"]);
  assert.deepEqual(world.collect(150).news, ["opened above_warning"]);
  const silent = world.collect(null);
  assert.deepEqual([silent.state, silent.news, silent.open], [["warning", "unknown"], [], ["above_warning"]]);
  assert.deepEqual(silent.evaluation.samples, [
    { metricName: "queue_depth", labels: {}, value: null, severity: "unknown" },
  ]);
  assert.deepEqual(world.collect(10).news, ["resolved above_warning (recovered)"]);
});

Deno.test("no number breaks off what was about to alert", () => {
  const world = metricWorld(metricDefinition({ forMinutes: 10 }));
  assert.deepEqual([150, null, 150].flatMap((value) => world.collect(value).news), []);
  assert.deepEqual(world.collect(150, 10).news, ["opened above_warning"]);
});

Deno.test("where no number is as good as a good one, it ends an alarm", () => {
  assert.deepEqual(newsOf(metricDefinition({ noData: "ok" }), [150, null]), [
    ["opened above_warning"],
    ["resolved above_warning (recovered)"],
  ]);
});

Deno.test("where no number is bad, it alerts once it has lasted, until there is one", () => {
  const world = metricWorld(metricDefinition({ noData: "critical", forMinutes: 5 }));
  assert.deepEqual(world.collect(null).news, []);
  const opened = world.collect(null);
  assert.deepEqual([opened.news, opened.state], [["opened no_data"], ["none", "critical"]]);
  assert.equal(world.incidents()[0]?.severity, "critical");
  assert.deepEqual(world.collect(null).news, []);
  assert.deepEqual(world.collect(5).news, ["resolved no_data (recovered)"]);
});

// --- queries that fail ---

Deno.test("a query that fails twice in a row is an incident of its own, and its numbers are unknown meanwhile", () => {
  const world = metricWorld(metricDefinition());
  world.collect(10);
  const broken = new Error('relation "ingest_jobs" does not exist');
  const first = world.collect(broken);
  assert.deepEqual([first.news, first.state], [[], ["none", "unknown"]]);
  assert.deepEqual(first.evaluation.reports[0]?.error, 'relation "ingest_jobs" does not exist');
  const second = world.collect(broken);
  assert.deepEqual(second.news, ["opened query_failed"]);
  assert.equal(
    world.incidents()[0]?.summary,
    'it cannot be read, for 5 min: relation "ingest_jobs" does not exist',
  );
  assert.deepEqual(world.collect("not asked").news, []);
  assert.deepEqual(world.collect(broken).news, []);
  const mended = world.collect(10);
  assert.deepEqual([mended.news, mended.state], [["resolved query_failed (recovered)"], ["none", "ok"]]);
});

Deno.test("an alarm is not over because its query fails", () => {
  const world = metricWorld(metricDefinition());
  world.collect(150);
  world.collect(new Error("x"));
  assert.deepEqual(world.collect(new Error("x")).open, ["above_warning", "query_failed"]);
  assert.deepEqual(world.collect(150).open, ["above_warning"]);
});

Deno.test("a broken query that watches nothing is of the lowest severity", () => {
  const world = metricWorld(metricDefinition({ warning: null, critical: null }));
  world.collect(new Error("x"));
  world.collect(new Error("x"));
  assert.deepEqual(world.incidents().map(({ severity }) => severity), ["low"]);
});

Deno.test("errors and labels lose their secrets before they are kept", () => {
  const world = metricWorld(metricDefinition());
  const secret = "sb_secret_abcdefghijklmnop";
  const [report] = world.collect(new Error(`invalid input syntax: "${secret}"`)).evaluation.reports;
  assert.equal(report?.error, 'invalid input syntax: "sb_secret_***"');
  const { states } = world.collect([{ labels: { error: `key ${secret}\n refused` }, value: 1 }]).evaluation;
  assert.deepEqual(states[0]?.labels, { error: "key sb_secret_*** refused" });
  const two = [1, 2].map((n) => ({ labels: { error: `sb_secret_${n}aaaaaaaaaaaa` }, value: n }));
  assert.match(world.collect(two).evaluation.reports[0]?.error ?? "", /the same labels once secrets/);
});

// --- series ---

const rows = (values: Readonly<Record<string, number | null>>): MetricRow[] =>
  Object.entries(values).map(([table, value]) => ({ labels: { table }, value }));

Deno.test("each series has an incident of its own, which ends with it", () => {
  const world = metricWorld(metricDefinition({ name: "dead_tuples" }));
  assert.deepEqual(world.collect(rows({ orders: 150, leads: 20 })).news, ["opened above_warning"]);
  assert.deepEqual(world.collect(rows({ orders: 150, leads: 2000 })).news, ["opened above_critical"]);
  assert.deepEqual(world.incidents().map(({ subjectId, detail }) => [subjectId, detail.subjectName]), [
    ['smoothed/dead_tuples{table="orders"}', "dead_tuples (table orders)"],
    ['smoothed/dead_tuples{table="leads"}', "dead_tuples (table leads)"],
  ]);
  const left = world.collect(rows({ leads: 2000 }));
  assert.deepEqual(left.news, ["resolved above_warning (removed)"]);
  assert.deepEqual(left.evaluation.gone, [{ definitionId: "definition", series: '{table="orders"}' }]);
  assert.deepEqual(world.collect([]).news, ["resolved above_critical (removed)"]);
});

Deno.test("no rows at all of a metric with labels is nothing to report, unless that is said to be bad", () => {
  const slots = metricWorld(metricDefinition({ name: "slots" })).collect([]);
  assert.deepEqual([slots.news, slots.state, slots.evaluation.samples], [[], null, []]);
  const wanted = metricWorld(metricDefinition({ noData: "warning" }));
  assert.deepEqual(wanted.collect([]).news, ["opened no_data"]);
  const back = wanted.collect([{ labels: { slot: "a" }, value: 1 }, { labels: { slot: "b" }, value: null }]);
  assert.deepEqual(back.news, ["resolved no_data (recovered)", "opened no_data"]);
  assert.deepEqual(wanted.collect([{ labels: { slot: "a" }, value: 1 }]).news, [
    "resolved no_data (removed)",
  ]);
});

Deno.test("a metric that is switched off, or whose table is gone, ends its incidents as removed", () => {
  const off = metricWorld(metricDefinition());
  off.collect(150);
  off.switchOff();
  const after = off.collect(null);
  assert.deepEqual([after.news, after.state], [["resolved above_warning (removed)"], null]);
  const gone = metricWorld(metricDefinition());
  gone.collect(150);
  const without = gone.collect("not applicable");
  assert.deepEqual([without.news, without.state], [["resolved above_warning (removed)"], null]);
  assert.equal(without.evaluation.reports[0]?.error, "the project has no public.jobs");
});

Deno.test("a threshold that is raised ends the incident of the old one", () => {
  const world = metricWorld(metricDefinition());
  world.collect(150);
  world.redefine({ warning: 200 });
  assert.deepEqual(world.collect(150).news, ["resolved above_warning (recovered)"]);
});

Deno.test("a project that cannot be asked makes its numbers unknown and ends nothing", () => {
  const definition = metricDefinition();
  const state = metricWorld(definition).collect(150).evaluation.states;
  const known = {
    projectName: "smoothed",
    version: 3,
    collections: [],
    states: state,
    incidents: [],
    histories: [],
    alertConfigs: [alertRow("team")],
  };
  const { states, observations, samples, gone } = evaluateUnasked(
    { name: "smoothed", ref: null },
    "Cannot connect",
    [definition],
    [definition],
    known,
    NOON,
  );
  assert.deepEqual(states.map(({ severity, alarm }) => [severity, alarm]), [["unknown", "warning"]]);
  assert.deepEqual([observations.incidents, samples, gone], [[], [], []]);
});

// --- own weeks ---

Deno.test("own weeks: usual is what the same hour was in other weeks, whatever one odd week was", () => {
  const both = { direction: "both", leastDifference: 0 } as const;
  const weeks = [100, 110, 90, 105, 95, 5000];
  const usual = compareWithWeeks(102.5, weeks, both);
  assert.deepEqual([usual?.usual, usual?.distance, usual?.weeks], [102.5, 0, 6]);
  assert.ok((compareWithWeeks(200, weeks, both)?.distance ?? 0) > 8);
  assert.ok((compareWithWeeks(0, weeks, both)?.distance ?? 0) > 8);
  assert.ok((compareWithWeeks(0, weeks, { ...both, direction: "up" })?.distance ?? 0) < 0);
  assert.ok((compareWithWeeks(0, weeks, { ...both, direction: "down" })?.distance ?? 0) > 8);
});

Deno.test("own weeks: too few weeks, or too small a difference, are no reason", () => {
  const both = { direction: "both", leastDifference: 20 } as const;
  assert.equal(compareWithWeeks(500, [1, 2, 3], both), null);
  assert.equal(compareWithWeeks(19, [0, 0, 0, 0], both)?.distance, 0);
  assert.ok((compareWithWeeks(20, [0, 0, 0, 0], both)?.distance ?? 0) > 1e6);
  assert.equal(compareWithWeeks(0, [0, 0, 0, 0], { ...both, leastDifference: 0 })?.distance, 0);
});

Deno.test("own weeks: without enough history the number is unknown, with it unusual ones open an incident", () => {
  const audit = metricDefinition({
    ...{ name: "audit_activity_hourly", unit: "actions", judgedBy: "own weeks", direction: "both" },
    ...{ warning: 4, critical: 8, hysteresis: 1, leastDifference: 20 },
  });
  const history = (weeks: number[]) => [{ definitionId: "definition", labels: {}, weeks }];
  const young = metricWorld(audit, history([100, 90, 110])).collect(5000);
  assert.deepEqual([young.state, young.news], [["none", "unknown"], []]);
  const world = metricWorld(audit, history([100, 90, 110, 95, 105]));
  assert.deepEqual(world.collect(108).state, ["none", "ok"]);
  assert.deepEqual(world.collect(135).news, ["opened unusual"]);
  assert.deepEqual(world.collect(900).news, ["opened very_unusual"]);
  const worst = world.incidents().find(({ code }) => code === "very_unusual");
  assert.equal(
    worst?.summary,
    "it is 900 actions, where 100 actions is usual at this hour",
  );
  assert.equal(
    worst?.detail.facts?.[1]?.value,
    "100 actions, by 5 weeks; this is 107.9 times as far off as usual",
  );
  assert.deepEqual(world.collect(101).open, []);
  assert.deepEqual(world.collect(2).news, ["opened very_unusual"], "far too few is unusual as well");
});

// --- which, when ---

Deno.test("a project's own definition comes before the one for every project, also to switch it off", () => {
  const general = metricDefinition({ id: "general" });
  const own = metricDefinition({ id: "own", projectName: "crm", critical: 5000 });
  const off = metricDefinition({ id: "off", projectName: "scraping", enabled: false });
  const all = [own, general, off];
  const ids = (project: string, which?: "all") => definitionsOf(all, project, which).map(({ id }) => id);
  assert.deepEqual([ids("smoothed"), ids("crm"), ids("scraping")], [["general"], ["own"], []]);
  assert.deepEqual(ids("scraping", "all"), ["off"]);
});

Deno.test("a metric is due after its interval, the longest waiting first", () => {
  const collection = (definitionId: string, minutesAgo: number | null) => ({
    definitionId,
    projectName: "smoothed",
    status: "ok" as const,
    error: null,
    failures: 0,
    failingSince: null,
    askedAt: minutesAgo === null ? null : NOON - minutesAgo * MINUTE,
    tookMs: 1,
  });
  const definitions = [
    metricDefinition({ id: "hourly", intervalMinutes: 60 }),
    metricDefinition({ id: "waits" }),
    metricDefinition({ id: "new" }),
    metricDefinition({ id: "early" }),
    metricDefinition({ id: "just" }),
  ];
  const asked = [
    collection("hourly", 55),
    collection("waits", 30),
    collection("early", 4.9),
    collection("just", 1),
  ];
  assert.deepEqual(dueDefinitions(definitions, asked, NOON).map(({ id }) => id), ["new", "waits", "early"]);
  assert.equal(
    dueDefinitions(definitions, [collection("hourly", 59)], NOON).some(({ id }) => id === "hourly"),
    true,
  );
});

// --- words ---

Deno.test("numbers are told with their unit", () => {
  const told = ([
    [1240, "jobs"],
    [0.0123456, null],
    [1610612736, "bytes"],
    [12, "bytes"],
    [1023.99 * 1024, "bytes"],
    [12.345, "seconds"],
    [754, "seconds"],
    [4.256, "percent"],
    [3.5, "USD"],
    [-3.5, "USD"],
    [1234567.89, null],
    [0, "jobs"],
    [1, "jobs"],
    [1.2e15, "jobs"],
    [-1e99, null],
    [1e99, "USD"],
  ] as const).map(([value, unit]) => formatMetric(value, unit));
  assert.deepEqual(told, [
    "1,240 jobs",
    "0.0123",
    "1.5 GB",
    "12 bytes",
    "1,024 kB",
    "12.35 s",
    "12 min",
    "4.26 %",
    "$3.50",
    "-$3.50",
    "1,234,568",
    "0 jobs",
    "1 job",
    "1.2e+15 jobs",
    "-1e+99",
    "$1e+99",
  ]);
});

Deno.test("a series is known by its labels in any order, and told by them", () => {
  assert.equal(seriesKey({ b: "2", a: 'x"}' }), '{a="x\\"}",b="2"}');
  assert.equal(seriesKey({ a: 'x"}', b: "2" }), seriesKey({ b: "2", a: 'x"}' }));
  assert.equal(seriesName("jobs", { status: "done", actor: "" }), "jobs (status done, actor (empty))");
  assert.equal(safeLabels({ a: "x".repeat(500) }).a?.length, 120);
  assert.equal(
    thresholdsInWords(metricDefinition({ direction: "down", warning: 97, critical: null })),
    "warning from 97 down",
  );
});

Deno.test("a percentile of nothing is nothing, of one number that number, and between two is interpolated", () => {
  assert.equal(percentileCont([], 0.5), null);
  assert.equal(percentileCont([7], 0.99), 7);
  assert.equal(percentileCont([10, 0], 0.25), 2.5);
  assert.deepEqual([0, 0.5, 1].map((fraction) => percentileCont([3, 1, 2], fraction)), [1, 2, 3]);
});
