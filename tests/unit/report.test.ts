import assert from "node:assert/strict";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import { renderReport } from "../../supabase/functions/_shared/channels/report.ts";
import type { ChannelName } from "../../supabase/functions/_shared/domain/delivery.ts";
import type { Report, ReportFacts } from "../../supabase/functions/_shared/domain/report.ts";
import { composeReport } from "../../supabase/functions/_shared/rules/report.ts";
import { reportMail } from "../../supabase/functions/_shared/rules/report_html.ts";
import { reportPeriod } from "../../supabase/functions/_shared/rules/report_period.ts";
import { reportText } from "../../supabase/functions/_shared/rules/report_text.ts";
import { formatShare } from "../../supabase/functions/_shared/rules/report_words.ts";
import { HOSTILE } from "../support/alerts.ts";
import { readMailHtml } from "../fakes/mail_html.ts";
import {
  DAILY,
  manyJobsFacts,
  oneJobFacts,
  quietFacts,
  REPORT_AT,
  runs,
  WEEKLY,
} from "../support/reports.ts";

const ALL = { rows: 10_000, actions: 10_000, cell: 10_000 };
const daily = (facts: ReportFacts) => composeReport(facts, DAILY);

/** Lines of one section of a report as text. */
function section(report: Report, title: string): string[] {
  const part = reportText(report, ALL).split("\n\n").find((part) => part.startsWith(`${title}\n`));
  return part?.split("\n").slice(1) ?? [];
}

const bytes = (text: string) => new TextEncoder().encode(text).length;

// --- periods ---

Deno.test("the daily report is of the UTC day before, all day, beside the same weekday a week earlier", () => {
  for (const at of ["2026-11-21T00:00:00Z", "2026-11-21T09:00:00Z", "2026-11-21T23:59:59Z"]) {
    const { from, to, before, days } = reportPeriod("daily", new Date(at));
    assert.deepEqual([from, to, before, days], ["2026-11-20", "2026-11-20", "2026-11-13", 1]);
  }
});

Deno.test("the weekly report is of Monday to Sunday before, all week, beside the week before that", () => {
  for (const at of ["2026-11-16T09:00:00Z", "2026-11-21T09:00:00Z", "2026-11-22T23:59:59Z"]) {
    const { from, to, before, days } = reportPeriod("weekly", new Date(at));
    assert.deepEqual([from, to, before, days], ["2026-11-09", "2026-11-15", "2026-11-02", 7]);
  }
  assert.equal(reportPeriod("weekly", new Date("2026-11-23T00:00:00Z")).from, "2026-11-16");
  // over the end of a year and a leap day; clocks that change are of no day in UTC
  for (
    const [at, from, to, before] of [
      ["2027-01-04T09:00:00Z", "2026-12-28", "2027-01-03", "2026-12-21"],
      ["2028-03-06T09:00:00Z", "2028-02-28", "2028-03-05", "2028-02-21"],
      ["2027-03-29T09:00:00Z", "2027-03-22", "2027-03-28", "2027-03-15"],
    ] as const
  ) {
    const period = reportPeriod("weekly", new Date(at));
    assert.deepEqual([period.from, period.to, period.before], [from, to, before]);
  }
  assert.deepEqual(reportPeriod("daily", new Date("2027-01-01T09:00:00Z")).before, "2026-12-24");
});

// --- what it says ---

Deno.test("an empty hub has a report that says what to do first", () => {
  const report = daily(quietFacts({ monitor: { ...quietFacts().monitor, lastCompleteAt: null, routes: 0 } }));
  assert.equal(report.title, "Daily report of 2026-11-20");
  assert.deepEqual(report.actions.map(({ severity }) => severity), ["critical", "important"]);
  assert.match(report.actions[0]?.text ?? "", /^Nobody is alerted/);
  assert.match(report.actions[1]?.text ?? "", /^Nothing is watched yet/);
});

Deno.test("all quiet is a report too", () => {
  const report = daily(oneJobFacts());
  assert.equal(report.headline, "All quiet: 1 job in 1 project, 100 % of 24 runs succeeded.");
  assert.equal(report.severity, "info");
  assert.deepEqual(section(report, "What to do"), ["- Nothing: all is quiet."]);
  assert.deepEqual(section(report, "Projects"), [
    "- smoothed: ██████████ 100 % uptime, unchanged, 1 job, 24 runs, 0 failures, 0 missed",
  ]);
  assert.deepEqual(section(report, "Slowest jobs"), [
    "- sync_leads in smoothed: 95 of 100 runs within ██████████ 3.4 s, usually 1.2 s",
  ]);
});

Deno.test("no failure disappears by rounding", () => {
  assert.equal(formatShare(1), "100 %");
  assert.equal(formatShare(0.999999), "99.99 %");
  assert.equal(formatShare(22 / 24), "91.67 %");
});

Deno.test("a check that has not come is the first thing to do, before any incident", () => {
  const many = manyJobsFacts(3);
  const report = daily({
    ...many,
    monitor: { ...many.monitor, lastCompleteAt: REPORT_AT.getTime() - 7_200_000 },
  });
  assert.equal(
    report.actions[0]?.text,
    "No check has seen every project since 2026-11-21 07:00:05 UTC (2 h): run deno task monitor doctor",
  );
  const order = report.actions.map(({ severity }) =>
    ["critical", "important", "low", "info"].indexOf(severity)
  );
  assert.deepEqual(order, order.toSorted());
});

Deno.test("a time in which nobody looked is told first, and is not quiet", () => {
  const from = Date.parse("2026-11-20T03:00:00Z");
  const watch = {
    ...quietFacts().watch,
    unwatchedMs: 5 * 3_600_000,
    longestMs: 4 * 3_600_000,
    longestFrom: from,
  };
  const report = daily({ ...oneJobFacts(), watch });
  assert.equal(
    report.headline,
    "1 thing needs attention, no incident is open: 1 job in 1 project, 100 % of 24 runs succeeded.",
  );
  assert.match(
    section(report, "What to do")[0] ?? "",
    /^!! Nobody looked for 5 h, 4 h of it at a stretch from 2026-11-20 03:00 UTC: what ran then was read afterwards/,
  );
  assert.ok(section(report, "Numbers").includes("- Checks: 96 checks, none for 5 h"));
  const young = daily({
    ...oneJobFacts(),
    watch: { ...quietFacts().watch, firstLookAt: REPORT_AT.getTime() },
  });
  assert.equal(
    young.headline,
    "Nobody looked in that time; what was read afterwards: 1 job in 1 project, 100 % of 24 runs succeeded.",
  );
  assert.match(
    section(young, "What to do")[0] ?? "",
    /^! Nobody looked before 2026-11-21 09:00:05 UTC: of 2026-11-20 only/,
  );
  // nor is none less than what nobody counted
  assert.ok(
    section(daily(oneJobFacts()), "Numbers").some((line) => /^- Incidents opened: 0, unchanged/.test(line)),
  );
  assert.ok(section(young, "Numbers").includes("- Incidents opened: 0"));
  assert.ok(section(young, "Alerts").includes("- sent: 0"));
});

Deno.test("runs whose end nobody knows did not succeed, and jobs that nobody can judge are not passed over", () => {
  const totals = {
    ...oneJobFacts().totals,
    jobs: 3,
    unknown: 2,
    now: runs({ runs: 24, successes: 20, unknown: 4 }),
  };
  assert.equal(
    daily({ ...oneJobFacts(), totals }).headline,
    "All quiet: 3 jobs in 1 project, 100 % of 20 runs succeeded, 2 jobs are unknown.",
  );
});

Deno.test("an incident is told with its job, how long, and who is on it", () => {
  const incident = {
    ...{
      id: "1",
      project: "smoothed",
      subject: "sync_leads",
      code: "failed",
      summary: "the last run failed",
    },
    ...{
      severity: "critical",
      owner: "dana",
      openedAt: REPORT_AT.getTime() - 7_500_000,
      acknowledgedBy: null,
    } as const,
  };
  const { incidents } = quietFacts();
  const facts = { ...oneJobFacts(), incidents: { ...incidents, opened: 1, open: 1, openRows: [incident] } };
  const told = () => section(daily(facts), "What to do");
  assert.deepEqual(told(), [
    "!!! FAILED: sync_leads in smoothed for 2 h 5 min (ask dana): the last run failed",
  ]);
  facts.incidents.openRows = [{ ...incident, acknowledgedBy: "ann" } as never];
  assert.match(told()[0] ?? "", /\(ann is on it\)/);
  assert.equal(
    daily(facts).headline,
    "1 thing needs attention, 1 incident open: 1 job in 1 project, 100 % of 24 runs succeeded.",
  );
});

Deno.test("of a metric's series, those with an open incident are told once, in whatever order their labels are", () => {
  const incident = (project: string, subject: string, code: string) => ({
    ...{
      id: subject,
      project,
      subject,
      code,
      severity: "critical" as const,
      summary: "so it is",
      owner: null,
    },
    ...{ openedAt: REPORT_AT.getTime() - 60_000, acknowledgedBy: null },
  });
  const [metric] = manyJobsFacts(1).metrics.rows;
  assert.ok(metric);
  const report = daily({
    ...oneJobFacts(),
    incidents: {
      ...quietFacts().incidents,
      open: 2,
      openRows: [
        incident("p", "queue_depth (table a, schema x)", "above_critical"),
        incident("q", "q", "scheduler_down"),
      ],
    },
    metrics: {
      count: 2,
      rows: ["a", "b"].map((table) => ({
        ...metric,
        name: "queue_depth",
        project: "p",
        labels: { schema: "x", table },
      })),
      failing: [],
    },
  });
  assert.deepEqual(section(report, "What to do"), [
    "!!! ABOVE CRITICAL: queue_depth (table a, schema x) in p for 1 min (nobody is on it): so it is",
    "!!! SCHEDULER DOWN: q for 1 min (nobody is on it): so it is",
    "!!! queue_depth (schema x, table b) of p is critical: sync_leads",
  ]);
});

Deno.test("a metric past its threshold and a project that cannot be read are told once each, with their incidents", () => {
  const { incidents } = quietFacts();
  const [metric] = manyJobsFacts(1).metrics.rows;
  const [row] = manyJobsFacts(1).incidents.openRows;
  assert.ok(metric && row);
  const dead = { ...metric, name: "dead_tuples", project: "smoothed", labels: { table: "orders" } };
  const lone = { ...dead, name: "queue_depth", labels: {}, summary: "112 jobs" };
  const why = 'Cannot connect to project "scraping"';
  const openRows = [
    {
      ...row,
      project: "smoothed",
      subject: "dead_tuples (table orders)",
      code: "above_critical",
      summary: "it is 71 %",
    },
    { ...row, project: "scraping", subject: "scraping", code: "unreachable", summary: why },
  ];
  const [project] = oneJobFacts().projects.rows;
  assert.ok(project);
  const told = section(
    daily({
      ...oneJobFacts(),
      projects: { count: 1, rows: [{ ...project, name: "scraping", status: "error", error: why }] },
      incidents: { ...incidents, open: 2, openRows },
      metrics: { count: 2, rows: [dead, lone], failing: [] },
    }),
    "What to do",
  );
  assert.deepEqual(told.map((line) => line.replace(/ for .*\): /, ": ")), [
    `!!! Make scraping readable again: ${why}`,
    "!!! ABOVE CRITICAL: dead_tuples (table orders) in smoothed: it is 71 %",
    "!!! queue_depth of smoothed is critical: 112 jobs",
  ]);
});

Deno.test("a mail shows all of its numbers or none, however little fits of the rest", () => {
  const { html, text } = reportMail(daily(manyJobsFacts(2_000)));
  for (const written of [html, text]) {
    assert.match(written, /Uptime/);
    assert.match(written, /Checks/);
  }
});

Deno.test("a count that hardly moved has not moved by -0 %", () => {
  const totals = {
    ...oneJobFacts().totals,
    now: runs({ runs: 600, successes: 600 }),
    before: runs({ runs: 602, successes: 602 }),
  };
  const report = daily({ ...oneJobFacts(), totals });
  assert.match(section(report, "Numbers").join("\n"), /^- Runs: 600, -2 \(0 %\)/m);
});

Deno.test("one of something is one run, one failure", () => {
  const [job] = manyJobsFacts(1).troubled.rows;
  assert.ok(job);
  const now = runs({ runs: 1, failures: 1 });
  const report = daily({ ...oneJobFacts(), troubled: { count: 1, rows: [{ ...job, now, before: runs() }] } });
  assert.match(section(report, "Jobs with failures")[0] ?? "", /, 1 run, 1 failure, 0 missed/);
});

Deno.test("numbers stand beside those of the week before, and say which way is bad", () => {
  const totals = {
    ...oneJobFacts().totals,
    now: runs({ runs: 20, successes: 15, failures: 5, missed: 2 }),
    before: runs({ runs: 20, successes: 20 }),
  };
  const report = composeReport({ ...oneJobFacts(), totals }, WEEKLY);
  assert.deepEqual(section(report, "Numbers").slice(0, 4), [
    "- Uptime: ██████░░░░ 68.18 %, -31.82 points against the week before",
    "- Runs: 20, unchanged against the week before",
    "- Failures: 5, +5 against the week before",
    "- Slots missed: 2, +2 against the week before",
  ]);
  const [failures] = report.sections[0]?.rows.filter(([name]) => name?.text === "Failures") ?? [];
  assert.deepEqual(failures?.map(({ tone }) => tone), [undefined, "bad", "bad"]);
});

Deno.test("errors are grouped by fingerprint, and new ones are things to do", () => {
  const since = Date.parse("2026-11-20T00:00:00Z");
  const error = (message: string, firstAt: number) => ({
    ...{ project: "p", job: "a", message, count: 2, before: 1, firstAt, lastAt: since + 1 },
  });
  const report = daily({
    ...oneJobFacts(),
    errors: [error("lost 1", since + 5), error("lost 2", since - 5), error('no "x"', since + 5)],
  });
  assert.deepEqual(section(report, "Errors"), [
    "- lost <n>: 4 times, before 2, a in p",
    "- no <value>: 2 times, before 1, a in p, new",
  ]);
  assert.deepEqual(section(report, "What to do"), ["! Look at a new error, 2 times in a in p: no <value>"]);
});

Deno.test("what is counted by the hour adds up to a cost; queues and other metrics are averages", () => {
  const metric = (name: string, unit: string) => ({
    ...{
      name,
      project: "p",
      labels: {},
      unit,
      value: 5,
      severity: "ok",
      alarm: "none",
      stale: false,
      readAt: REPORT_AT.getTime(),
      summary: null,
    } as const,
    ...{ average: 4, averageBefore: 2, most: 9, hoursTotal: 96, hoursTotalBefore: 48 },
  });
  const rows = [
    metric("ai_cost_hourly", "USD"),
    metric("queue_depth", "jobs"),
    metric("database_size", "bytes"),
  ];
  const report = daily({ ...oneJobFacts(), metrics: { count: 3, rows, failing: [] } });
  assert.deepEqual(section(report, "Cost"), [
    "- ai_cost_hourly of p: $96.00 in all, before $48.00, +100 %, most $9.00 in an hour",
  ]);
  assert.deepEqual(section(report, "Queues"), [
    "- queue_depth of p: now 5 jobs, average 4 jobs, before 2 jobs, +100 %, most 9 jobs, ok",
  ]);
  assert.deepEqual(section(report, "Metrics").length, 1);
  const readAt = Date.parse("2026-11-19T08:03:00Z");
  const old = daily({
    ...oneJobFacts(),
    metrics: { count: 3, rows: rows.map((row) => ({ ...row, stale: true, readAt })), failing: [] },
  });
  assert.deepEqual(section(old, "What to do"), [
    "!! No metric has been read since 2026-11-19 08:03 UTC: run deno task monitor doctor",
  ]);
  assert.deepEqual(section(old, "Queues"), [
    "- queue_depth of p: average 4 jobs, before 2 jobs, +100 %, most 9 jobs, unknown",
  ]);
});

Deno.test("false alarms are told as a rate, and are something to do once they are many", () => {
  const { incidents } = quietFacts();
  const report = daily({ ...oneJobFacts(), incidents: { ...incidents, opened: 8, falseAlarms: 4 } });
  assert.ok(section(report, "Numbers").includes("- False alarms: 4 of 8 (50 %)"));
  assert.match(section(report, "What to do")[0] ?? "", /4 of 8 incidents were false alarms/);
});

Deno.test("what has no room is counted, with what shows it", () => {
  const report = daily({
    ...manyJobsFacts(12),
    unannotated: { count: 2_000, rows: manyJobsFacts(12).unannotated.rows },
  });
  const text = reportText(report, { rows: 5, actions: 3, cell: 50 });
  assert.match(text, /\n1,995 more: deno task monitor report daily\n/);
  assert.match(text, /as of|As of 2026-11-21 09:00:05 UTC · all of it: deno task monitor report daily/);
});

// --- what channels take ---

/** Facts at their least and at their most. */
const SIZES: Readonly<Record<string, () => ReportFacts>> = {
  "an empty hub": () => quietFacts(),
  "one job": oneJobFacts,
  "2,000 jobs": () => manyJobsFacts(2_000),
  ...Object.fromEntries(
    Object.entries(HOSTILE).map(([what, text]) => [`jobs called ${what}`, () => manyJobsFacts(15, text)]),
  ),
};

for (const [what, facts] of Object.entries(SIZES)) {
  Deno.test(`the mail of ${what} survives every client: tables only, below Gmail's limit, with a plain twin`, () => {
    const { subject, html, text } = reportMail(daily(facts()));
    assert.ok(bytes(html) <= 102_000, `${bytes(html)} bytes`);
    assert.ok(bytes(text) <= 60_000);
    assert.ok(subject.length <= 200 && !/[\r\n]/.test(subject));
    const read = readMailHtml(html);
    assert.match(read, /Daily report of 2026-11-20/);
    assert.match(read, /deno task monitor report daily/);
    assert.doesNotMatch(html, /<(img|svg|style|script|link)/i);
    assert.match(text, /^Daily report of 2026-11-20\n\n/);
  });

  Deno.test(`Slack's report of ${what} keeps its limits, and nothing others wrote acts as markup`, () => {
    const { body } = renderReport("slack", daily(facts()));
    const { text, blocks } = body as {
      text: string;
      blocks: { type: string; text?: { type: string; text: string } }[];
    };
    assert.ok(JSON.stringify(body).length <= 10_000);
    assert.ok(blocks.length <= 50 && text.length <= 3_000);
    for (const block of blocks) {
      const { type, text: shown = "" } = block.text ?? { type: "" };
      assert.ok(shown.length <= (block.type === "header" ? 150 : 3_000));
      if (type === "mrkdwn") assert.match(shown, /^\*[A-Za-z ]+\*$/);
      if (block.type === "section") assert.ok(shown.length > 0);
      assert.doesNotMatch(shown, /[<>]/);
    }
  });
}

Deno.test("every channel says how it is and what to do first", () => {
  const incidents = {
    ...quietFacts().incidents,
    open: 1,
    openRows: manyJobsFacts(1).incidents.openRows,
  };
  const report = daily({ ...oneJobFacts(), incidents });
  for (const name of Object.keys(channels) as ChannelName[]) {
    const { body, plain } = renderReport(name, report);
    const sent = JSON.stringify(body);
    assert.match(sent, /Daily report of 2026-11-20/, name);
    assert.match(sent, /1 thing needs attention/, name);
    if (name !== "twilio") assert.match(sent, /SYNC/, name);
    assert.match(plain, /Daily report of 2026-11-20/, name);
  }
});

Deno.test("where a field is short, what to do goes on in the next", () => {
  const report = daily(manyJobsFacts(6));
  for (const name of ["discord", "telegram", "webhook"] as const) {
    const { plain } = renderReport(name, report);
    assert.equal(plain.split("\n").filter((line) => /(^|: )!!! /.test(line)).length, 5, plain);
    assert.match(plain, /\d+ more: deno task monitor report daily/);
  }
});

Deno.test("a report pages nobody: PagerDuty gets it as info, whatever it says", () => {
  const { body } = renderReport("pagerduty", daily(manyJobsFacts(20)));
  assert.match(JSON.stringify(body), /"event_action":"trigger".*"severity":"info"/);
  assert.deepEqual(body.dedup_keys, ["supabase-job-monitor/report"]);
});
