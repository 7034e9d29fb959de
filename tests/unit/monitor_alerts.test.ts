/** `monitor silence`, `silences`, `unsilence`, `ack`, `false-alarm`, `resolve`, `doctor`: what they ask, refuse and print. */
import assert from "node:assert/strict";
import type {
  ActedIncident,
  DoctorReport,
  ListedSilence,
  SilenceRequest,
} from "../../scripts/monitoring_api.ts";
import { MonitorError } from "../../scripts/monitor/errors.ts";
import { parseDuration, parseInstant } from "../../scripts/monitor/durations.ts";
import {
  judgeAlerts,
  judgeConnection,
  judgeJobs,
  judgeOutbox,
  judgeProjects,
  judgeRuns,
  judgeSchedules,
  judgeSchema,
  reportOf,
} from "../../scripts/monitor/doctor.ts";
import { judgeReports } from "../../scripts/monitor/doctor_reports.ts";
import type { DoctorFacts } from "../../scripts/monitor/doctor_facts.ts";
import { alertRow } from "../support/alerts.ts";
import { reportPeriod } from "../../supabase/functions/_shared/rules/report_period.ts";
import { HOUR, MINUTE, NOON } from "../support/facts.ts";
import { runWith } from "../support/monitor_world.ts";

const DAILY = reportPeriod("daily", new Date(NOON));
const WEEKLY = reportPeriod("weekly", new Date(NOON));
const at = (distance: number) => new Date(NOON + distance).toISOString();

function listed(over: Partial<ListedSilence> = {}): ListedSilence {
  return {
    id: "3f9a12cd-0000-4000-8000-000000000001",
    project_name: "smoothed",
    job_pattern: "sync_*",
    starts_at: at(0),
    ends_at: at(2 * HOUR),
    schedule: null,
    duration_minutes: null,
    time_zone: "UTC",
    created_by: "dana",
    reason: "migration",
    created_at: at(0),
    ended_by: null,
    state: "holds",
    holds_until: at(2 * HOUR),
    next: [{ from: at(0), until: at(2 * HOUR) }],
    ...over,
  };
}

function acted(over: Partial<ActedIncident> = {}): ActedIncident {
  return {
    id: "5f2c19aa-0000-4000-8000-000000000001",
    project_name: "smoothed",
    subject: "sync_leads",
    code: "failed",
    resolved_at: null,
    acknowledged_at: at(0),
    acknowledged_by: "dana",
    false_alarm_by: null,
    changed: true,
    ...over,
  };
}

// --- durations ---

Deno.test("parseDuration() takes minutes, hours and days, together too, and nothing else", () => {
  const taken: [string, number][] = [["90m", 90], ["2h", 120], ["1d", 1_440], ["1d12h", 2_160], ["5MIN", 5]];
  for (const [text, minutes] of taken) assert.equal(parseDuration(text), minutes, text);
  for (const text of ["", "0m", "2", "h", "2h1d", "-2h", "1.5h", "2 h", "2w"]) {
    assert.equal(parseDuration(text), null, text);
  }
});

Deno.test("parseInstant() takes ISO 8601, in UTC unless it says otherwise, and only days that exist", () => {
  assert.equal(parseInstant("2026-11-21T12:00"), Date.UTC(2026, 10, 21, 12));
  assert.equal(parseInstant("2026-11-21T12:00+02:00"), Date.UTC(2026, 10, 21, 10));
  assert.equal(parseInstant("2026-11-21"), Date.UTC(2026, 10, 21));
  for (const text of ["tomorrow", "2026-02-30T00:00Z", "2026-13-01", "2026-11-21T25:00Z", "12:00"]) {
    assert.equal(parseInstant(text), null, text);
  }
});

// --- silence ---

Deno.test("silence passes on what was typed and tells which jobs it fits", async () => {
  const asked: SilenceRequest[] = [];
  const { code, stdout, stderr } = await runWith(
    ["silence", "smoothed", "sync_*", "--for", "2h", "--reason", "migration", "--by", "dana"],
    {
      silence: (request) => {
        asked.push(request);
        return Promise.resolve({ silence: listed(), jobs: ["smoothed/sync_leads"], warnings: ["careful"] });
      },
    },
  );
  assert.equal(code, 0);
  assert.deepEqual(asked, [{
    project: "smoothed",
    jobs: "sync_*",
    for: "2h",
    reason: "migration",
    by: "dana",
  }]);
  assert.match(stdout, /✓ Silenced sync_\* in smoothed, until 2026-11-21 14:00 UTC, in 2 h\n/);
  assert.match(stdout, /1 job now: smoothed\/sync_leads\n {2}End it with: .* monitor unsilence 3f9a12cd/);
  assert.equal(stderr, "! careful\n");
});

Deno.test("silence names every fault at once, before it asks anybody", async () => {
  const faults = async (...args: string[]) => {
    const { code, stderr, connections } = await runWith(["silence", ...args]);
    assert.deepEqual([code, connections], [2, []], args.join(" "));
    return stderr.split("\n")[0] ?? "";
  };
  const all = await faults(
    "No!",
    " ",
    "--for",
    "soon",
    "--until",
    "2020-01-01",
    "--timezone",
    "Mars/Olympus",
  );
  for (
    const fault of [
      /<project> must be a project's name/,
      /<jobs> must be a name or a pattern/,
      /--reason must say why/,
      /--timezone must be a time zone/,
      /--timezone goes with --schedule/,
      /--for does not go with --until/,
      /--for must be a duration/,
      /--until must be in the future/,
    ]
  ) assert.match(all, fault);
  const why = ["--reason", "x"];
  assert.match(
    await faults("*", ...why),
    /--for must say how long, such as 2h; or else --until when, or by which --schedule/,
  );
  assert.match(await faults("*", "--for", "400d", ...why), /at most 366d/);
  assert.match(
    await faults("*", "--schedule", "0 2 * * 0", ...why),
    /--duration must say how long each time/,
  );
  assert.match(
    await faults("*", "--schedule", "0 2 * *", "--duration", "1h", ...why),
    /--schedule must be five/,
  );
  assert.match(await faults("*", "--schedule", "0 0 30 2 *", "--duration", "1h", ...why), /never comes/);
  assert.match(
    await faults("*", "--schedule", "0 2 * * 0", "--duration", "40d", "--for", "1h", ...why),
    /--for does not go with --schedule: --duration says.*--duration must be a duration.*at most 31d/,
  );
  assert.match(
    await faults("*", "--for", "1h", "--duration", "1h", ...why),
    /--duration goes with --schedule/,
  );
});

Deno.test("silences tells when each holds, and the next time of one on a schedule", async () => {
  const weekly = listed({
    ...{ id: "77ab0000-0000-4000-8000-000000000001", project_name: null, job_pattern: "*", ends_at: null },
    ...{ schedule: "0 2 * * 0", duration_minutes: 90, time_zone: "Europe/Berlin", state: "waits" },
    holds_until: null,
    next: [{ from: at(13 * HOUR), until: at(13 * HOUR + 90 * MINUTE) }],
  });
  const { stdout } = await runWith(["silences"], { listSilences: () => Promise.resolve([listed(), weekly]) });
  assert.match(stdout, /3f9a12cd +● holds +sync_\* +smoothed +until 2026-11-21 14:00 UTC, in 2 h +dana/);
  assert.match(
    stdout,
    /77ab0000 +○ waits +\* +every project +0 2 \* \* 0 Europe\/Berlin, 90 min each; next 2026-11-22 01:00 UTC/,
  );
  const none = await runWith(["silences"], { listSilences: () => Promise.resolve([]) });
  assert.equal(none.stdout, "Nothing is silenced.\n");
});

Deno.test("unsilence says whether the silence was over already, and wants an id", async () => {
  const end = (changed: boolean) =>
    runWith(["unsilence", "3f9a"], { endSilence: () => Promise.resolve({ silence: listed(), changed }) });
  assert.equal((await end(true)).stdout, "✓ Ended: sync_* in smoothed: migration\n");
  assert.match((await end(false)).stdout, /^· It was over already/);
  const { code, stderr, connections } = await runWith(["unsilence", "sync"]);
  assert.deepEqual([code, connections], [2, []]);
  assert.match(stderr, /"sync" is no id: give at least its first 4 characters/);
});

// --- acts ---

Deno.test("ack, false-alarm and resolve tell what was done, and what had been done before", async () => {
  const asked: unknown[] = [];
  const ack = await runWith(["ack", "5f2c", "#77AB12", "--note", "on it", "--by", "ada"], {
    acknowledgeIncidents: (ids, options) => {
      asked.push(ids, options);
      return Promise.resolve([
        acted(),
        acted({ changed: false }),
        acted({
          changed: false,
          acknowledged_at: null,
          resolved_at: at(-HOUR),
        }),
      ]);
    },
  });
  assert.deepEqual(asked, [["5f2c", "#77AB12"], { note: "on it", by: "ada" }]);
  assert.deepEqual(ack.stdout.split("\n"), [
    "✓ Acknowledged: failed: sync_leads in smoothed 5f2c19aa",
    "· Acknowledged before, by dana, just now, 12:00 UTC: failed: sync_leads in smoothed 5f2c19aa",
    "· It is over, 1 h ago, 11:00 UTC: failed: sync_leads in smoothed 5f2c19aa",
    "",
  ]);
  const marked = await runWith(["false-alarm", "5f2c"], {
    markFalseAlarms: () => Promise.resolve([acted()]),
  });
  assert.match(marked.stdout, /^✓ A false alarm: failed/);
  const closed = await runWith(["resolve", "5f2c", "--json"], {
    resolveIncidents: () => Promise.resolve([acted()]),
  });
  assert.equal(JSON.parse(closed.stdout)[0].changed, true);
});

Deno.test("what is no id is a fault of usage that names each, before anybody is asked", async () => {
  for (const name of ["ack", "false-alarm", "resolve"]) {
    const { code, stderr, connections } = await runWith([name, "abc", "5f2c", "job:1"]);
    assert.deepEqual([code, connections], [2, []]);
    assert.match(stderr, /"abc" is no id.*"job:1" is no id/);
    assert.equal((await runWith([name])).code, 2);
  }
});

Deno.test("an id that several incidents begin with names the candidates", async () => {
  const { code, stderr } = await runWith(["ack", "5f2c"], {
    acknowledgeIncidents: () => {
      throw new MonitorError("ambiguous", "2 incidents have ids that begin with", { candidates: ["a", "b"] });
    },
  });
  assert.equal(code, 2);
  assert.match(stderr, /They are:\n {4}a\n {4}b/);
});

// --- doctor ---

Deno.test("doctor is exit code 1 when something fails, and tells what to do", async () => {
  const report = (status: "ok" | "warn" | "fail"): DoctorReport =>
    reportOf([{ area: "schema", status, message: "Something", remedy: status === "ok" ? null : "do this" }]);
  const run = (status: "ok" | "warn" | "fail", ...args: string[]) =>
    runWith(["doctor", ...args], { doctor: () => Promise.resolve(report(status)) });
  const bad = await run("fail");
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /^schema +✗ Something\n +→ do this\n\n1 fails, 0 fine\n$/);
  const warned = await run("warn");
  assert.deepEqual([warned.code, (await run("ok")).code], [0, 0]);
  assert.match(warned.stdout, /Nothing fails, 1 to look at, 0 fine/);
  const json = await run("fail", "--json");
  assert.deepEqual([json.code, JSON.parse(json.stdout).findings[0].status], [1, "fail"]);
});

/** A hub in which all is well. */
function hubFacts(over: Partial<DoctorFacts> = {}): DoctorFacts {
  const run = (name: string, ago: number) => ({
    ...{ function_name: name, last_status: "complete", last_error: null, died: 0 },
    ...{ last_began_at: at(-ago), last_complete_at: at(-ago) },
  });
  return {
    now: at(0),
    has_history: true,
    migrations: ["1", "2"],
    schedules: [{ job_name: "send-alert", schedule: "* * * * *", state: "on" }],
    has_url: true,
    has_key: true,
    functions: [
      ...[run("check-job-health", 5 * MINUTE), run("send-alert", MINUTE), run("discover-jobs", HOUR)],
      ...[run("check-edge-functions", 2 * MINUTE), run("collect-metrics", 3 * MINUTE)],
      run("cron-healthcheck", 2 * HOUR),
    ],
    functions_since: at(-24 * HOUR),
    heartbeats: 0,
    projects: [{
      ...{ project_name: "smoothed", enabled: true, status: "ok", read: true },
      ...{ launcher_alive: true, log_run: true },
    }],
    subscriptions: [],
    routes: [{ route: alertRow("a") }],
    outbox: { unroutable: 0, overdue: 0, failed_today: 0, last_error: null },
    critical_jobs: [],
    jobs_without_criticality: 0,
    jobs: 3,
    ...over,
  };
}

const READABLE = {
  project: "smoothed",
  status: "ok" as const,
  errors: [],
  jobs: 3,
  edge_functions: 0,
  changes: [],
  warnings: [],
};
const ANSWER = {
  ...{ ok: true as const, request_id: "r", sent: 0, retried: 0, failed: 0, unroutable: 0, deliveries: [] },
  channels: [],
  config_faults: [] as string[],
  default_routes: [] as { name: string; channel: string; criticality: string }[],
};

function everything(facts: DoctorFacts, answer = ANSWER, projects = [READABLE], exporters: string[] = []) {
  return [
    ...judgeSchema(facts, ["1", "2"]),
    ...judgeSchedules(facts),
    ...judgeRuns(facts, exporters),
    ...judgeProjects(projects, facts),
    ...judgeAlerts(facts, answer),
    ...judgeOutbox(facts),
    ...judgeReports(facts, answer.config_faults),
    ...judgeJobs(facts),
  ];
}

Deno.test("doctor finds nothing where all is well", () => {
  const findings = everything(hubFacts());
  assert.deepEqual(findings.filter(({ status }) => status !== "ok"), []);
  assert.ok(findings.every(({ remedy }) => remedy === null));
});

/** What a changed hub makes the doctor find, `fail: message`. */
function found(over: Partial<DoctorFacts>, answer = ANSWER, exporters: string[] = []): string[] {
  return everything(hubFacts(over), answer, [READABLE], exporters).filter(({ status }) => status !== "ok")
    .map(({ status, message }) => `${status}: ${message}`);
}

Deno.test("doctor finds a schema that is behind or ahead", () => {
  assert.deepEqual(found({ migrations: ["1"] }), ["fail: Migrations are missing: 2"]);
  assert.deepEqual(found({ migrations: ["1", "2", "3"] }), ["warn: The hub is newer than this checkout: 3"]);
  assert.deepEqual(found({ migrations: null }), ["warn: Nobody has recorded which migrations are applied"]);
});

Deno.test("doctor finds schedules that are off, and what they need that is missing", () => {
  const schedules = (["missing", "paused", "other"] as const).map((state) => ({
    ...{ job_name: state, schedule: "* * * * *", state },
  }));
  assert.deepEqual(found({ schedules, has_url: false, has_key: false }), [
    "fail: missing is not scheduled",
    "fail: paused is paused",
    "fail: other differs from monitoring.schedules",
    "fail: The Vault has no project_url: the schedules call nobody",
    "fail: The Vault has no monitor_secret_key: the schedules are refused",
  ]);
});

Deno.test("doctor tells of all schedules that are off in one line, and of a last run that failed", () => {
  const schedules = ["a", "b"].map((job_name) => ({
    ...{ job_name, schedule: "* * * * *", state: "missing" as const },
  }));
  assert.deepEqual(found({ schedules }), ["fail: a, b are not scheduled"]);
  const functions = hubFacts().functions.map((one) => ({
    ...one,
    ...one.function_name === "send-alert"
      ? { last_status: "failed", last_error: "Discord answered 404" }
      : {},
  }));
  assert.deepEqual(found({ functions }), ["warn: send-alert: the last run failed: Discord answered 404"]);
});

Deno.test("doctor finds that a row which gets reports alone, or ends alone, is told of no beginning", () => {
  const [known] = hubFacts().routes;
  assert.ok(known !== undefined && "route" in known);
  const only = (events: ("opened" | "resolved")[]) => [{ route: { ...known.route, events } }];
  for (const events of [[], ["resolved" as const]]) {
    const routes = only(events);
    assert.deepEqual(found({ routes }).filter((line) => line.startsWith("fail")), [
      "fail: No enabled row takes critical alerts: they are kept and told to nobody",
      "fail: No enabled row takes important alerts: they are kept and told to nobody",
    ]);
  }
});

Deno.test("doctor finds functions that are late, gone, failing or dying", () => {
  const changed = (over: Record<string, Partial<DoctorFacts["functions"][number]> | null>) =>
    hubFacts().functions.flatMap((one) => {
      const change = over[one.function_name];
      return change === null ? [] : [{ ...one, ...change }];
    });
  assert.deepEqual(
    found({
      functions: changed({
        "check-job-health": { last_began_at: at(-40 * MINUTE) },
        "send-alert": { last_began_at: at(-20 * MINUTE) },
        "discover-jobs": { last_status: "partial", last_error: "Cannot connect", died: 2 },
        "check-edge-functions": { last_began_at: at(-20 * MINUTE) },
        "collect-metrics": { last_began_at: at(-HOUR) },
      }),
    }),
    [
      "warn: check-job-health is late: it ran 40 min ago",
      "fail: send-alert ran 20 min ago: alerts are kept and not sent",
      "warn: discover-jobs: the last run was partial: Cannot connect",
      "warn: discover-jobs: 2 runs of the last day never ended",
      "warn: check-edge-functions is late: it ran 20 min ago",
      "fail: collect-metrics ran 1 h ago: nobody asks for the metrics",
    ],
  );
  assert.deepEqual(found({ functions: changed({ "send-alert": null, "check-edge-functions": null }) }), [
    "fail: send-alert has never run: alerts are kept and not sent",
    "fail: check-edge-functions has never run: nobody looks at the edge functions and webhooks",
  ]);
});

Deno.test("doctor waits for the first run of what only its schedule calls", () => {
  const functions = hubFacts().functions.filter(({ function_name: name }) =>
    name !== "send-alert" && name !== "collect-metrics"
  );
  assert.deepEqual(found({ functions, functions_since: at(-2 * MINUTE) }), [
    "fail: send-alert has never run: alerts are kept and not sent",
    "warn: collect-metrics has not run yet: nobody asks for the metrics",
  ]);
});

Deno.test("doctor wants the healthcheck every few minutes where there are heartbeats", () => {
  assert.deepEqual(found({ heartbeats: 1 }), [
    "fail: cron-healthcheck ran 2 h ago: nobody looks at the heartbeats",
  ]);
});

Deno.test("doctor expects an export only where somebody is to be told of runs", () => {
  const exported = (ago: number) => [...hubFacts().functions, {
    ...{ function_name: "export-runs", last_status: "complete", last_error: null, died: 0 },
    ...{ last_began_at: at(-ago), last_complete_at: at(-ago) },
  }];
  assert.deepEqual(found({}, ANSWER, []), []);
  assert.deepEqual(found({}, ANSWER, ["traces"]), [
    "fail: export-runs has never run: nobody is told of runs (traces)",
  ]);
  assert.deepEqual(found({ functions: exported(4 * MINUTE) }, ANSWER, ["traces"]), []);
  assert.deepEqual(found({ functions: exported(2 * HOUR) }, ANSWER, ["traces", "check_ins"]), [
    "fail: export-runs ran 2 h ago: nobody is told of runs (traces, check_ins)",
  ]);
  assert.deepEqual(found({ functions: exported(2 * HOUR) }, ANSWER, []), [], "the secret was taken away");
});

type Subscription = DoctorFacts["subscriptions"][number];

/** A subscription whose reader got the last report; it is Saturday noon. */
function subscribed(over: Partial<Subscription> = {}): Subscription {
  return {
    ...{
      report: "daily" as const,
      enabled: true,
      id: "a",
      name: "team",
      channel: "slack",
      row_enabled: true,
    },
    ...{ dead: null, since: at(-30 * 24 * HOUR), period: DAILY.from, state: "sent", error: null },
    ...over,
  };
}

/** What the doctor says of reports, with a function that ran this morning. */
function foundOfReports(
  over: Parameters<typeof subscribed>[0],
  functions = withReports(3 * HOUR),
  answer = ANSWER,
) {
  return found({ subscriptions: [subscribed(over)], functions }, answer);
}

function withReports(ago: number): DoctorFacts["functions"] {
  return [...hubFacts().functions, {
    ...{ function_name: "send-report", last_status: "complete", last_error: null, died: 0 },
    ...{ last_began_at: at(-ago), last_complete_at: at(-ago) },
  }];
}

Deno.test("doctor expects reports of who has subscribed to one, and nothing of nobody", () => {
  assert.deepEqual(found({}), []);
  assert.deepEqual(foundOfReports({}), []);
  assert.deepEqual(foundOfReports({ report: "weekly", period: WEEKLY.from }), []);
  assert.deepEqual(foundOfReports({ enabled: false, period: null }, hubFacts().functions), []);
  // subscribed to this morning after nine
  assert.deepEqual(foundOfReports({ since: at(-HOUR), period: null }, hubFacts().functions), []);
});

Deno.test("doctor finds reports that are overdue, and a function that has stopped to send them", () => {
  const [day, week] = [reportPeriod("daily", new Date(NOON - 24 * HOUR)).from, WEEKLY.before];
  assert.deepEqual(foundOfReports({ period: day }), [
    `fail: Row "team" (slack) has not got the daily report of ${DAILY.from}`,
  ]);
  assert.deepEqual(foundOfReports({ report: "weekly", period: week }), [
    `fail: Row "team" (slack) has not got the weekly report of ${WEEKLY.from}`,
  ]);
  assert.deepEqual(foundOfReports({ period: null }, withReports(50 * HOUR)), [
    "fail: send-report ran 2 d 2 h ago: nobody gets a report",
    `fail: Row "team" (slack) has not got the daily report of ${DAILY.from}`,
  ]);
  assert.deepEqual(foundOfReports({}, withReports(27 * HOUR)), [
    "warn: send-report is late: it ran 1 d 3 h ago",
  ]);
  assert.deepEqual(foundOfReports({}, hubFacts().functions), [
    "warn: send-report has not run yet: nobody gets a report",
  ]);
});

Deno.test("before ten nobody misses the report that is due at nine", () => {
  const early = new Date(Date.parse(`${DAILY.to}T00:00:00Z`) + 33.5 * HOUR);
  const subscriptions = [subscribed({ period: reportPeriod("daily", new Date(NOON - 24 * HOUR)).from })];
  const said = (now: Date) => judgeReports({ now: now.toISOString(), subscriptions }, [])[0]?.status;
  assert.deepEqual([said(early), said(new Date(early.getTime() + HOUR))], ["ok", "fail"]);
});

Deno.test("doctor finds subscriptions whose row cannot get the report, or did not take it", () => {
  assert.deepEqual(foundOfReports({ row_enabled: false }), [
    'fail: Row "team" (slack) cannot get the daily report: it is disabled',
  ]);
  assert.deepEqual(foundOfReports({ dead: "Slack answered 410" }), [
    'fail: Row "team" (slack) cannot get the daily report: nothing gets through: Slack answered 410',
  ]);
  const fault =
    'Row "team" (slack) of alert_config: Cannot resolve "env:X": there is no function secret of that name';
  assert.deepEqual(foundOfReports({}, withReports(HOUR), { ...ANSWER, config_faults: [fault] }), [
    `fail: ${fault}`,
    'fail: Row "team" (slack) cannot get the daily report: its channel is not set up right',
  ]);
  assert.deepEqual(foundOfReports({ state: "failed", error: "Slack answered 400" }), [
    `fail: Row "team" (slack) did not take the daily report of ${DAILY.from}: Slack answered 400`,
  ]);
  assert.deepEqual(foundOfReports({ state: "due" }), [], "the outbox tells when that is late");
});

Deno.test("doctor finds projects that cannot be read, and roles that see too little", () => {
  const [smoothed] = hubFacts().projects as [DoctorFacts["projects"][number]];
  const blind = { ...smoothed, launcher_alive: null, log_run: false };
  const refused = {
    ...READABLE,
    ...{ project: "scraping", status: "error" as const },
    errors: [{ code: "no_privilege", message: 'Cannot read project "scraping"' }],
  };
  const left = { ...smoothed, project_name: "old", enabled: false };
  const findings = judgeProjects([READABLE, refused as never], hubFacts({ projects: [blind, left] }));
  assert.deepEqual(findings.map(({ status, message }) => `${status}: ${message}`), [
    "ok: smoothed can be read, 3 jobs",
    'fail: Cannot read project "scraping"',
    "warn: smoothed: nobody can see whether pg_cron's launcher lives",
    "warn: smoothed: cron.log_run is off, so its jobs cannot be judged",
    "warn: old is not watched",
  ]);
  assert.match(findings[1]?.remedy ?? "", /A role for watched projects/);
  assert.equal(judgeProjects([], null)[0]?.status, "fail");
});

Deno.test("doctor finds rows that are wrong, dead channels, and severities that nobody takes", () => {
  const dead = { reason: "Discord answered 404", since: NOON, lastFailureAt: NOON };
  const routes = [
    { route: alertRow("a", { name: "team", criticality: "important", dead }) },
    {
      route: alertRow("b", {
        name: "phone",
        channel: "telegram",
        criticality: "low",
        projectName: "smoothed",
      }),
    },
    { unreadable: "42" },
  ];
  const config_faults = [
    'Row "phone" (telegram) of alert_config: Cannot resolve "env:X": there is no function secret of that name',
    'job_inventory.alert_channel "on call" names no enabled row of alert_config',
  ];
  assert.deepEqual(found({ routes }, { ...ANSWER, config_faults }), [
    "fail: Row 42 of alert_config cannot be read",
    `fail: ${config_faults[0]}`,
    `warn: ${config_faults[1]}: its alerts go the usual way`,
    'fail: Row "team" (discord): nothing gets through: Discord answered 404',
    "fail: No enabled row takes critical alerts: they are kept and told to nobody",
  ]);
});

Deno.test("doctor tells which default routes an empty alert_config would get, or that nobody is told", () => {
  assert.deepEqual(found({ routes: [] }), ["fail: alert_config is empty: nobody is told of anything"]);
  const default_routes = [{ name: "telegram", channel: "telegram", criticality: "critical" }];
  assert.deepEqual(found({ routes: [] }, { ...ANSWER, default_routes }), [
    "warn: alert_config is empty: the next run of send-alert writes telegram (critical)",
  ]);
});

Deno.test("doctor finds what is kept, late or refused, and critical jobs that nobody described", () => {
  const outbox = { unroutable: 2, overdue: 1, failed_today: 3, last_error: "Slack answered 410" };
  const critical_jobs = [
    { project_name: "smoothed", job_name: "sync_leads", lacks: ["owner", "runbook_url"] },
    { project_name: "smoothed", job_name: "bill", lacks: [] },
  ];
  assert.deepEqual(found({ outbox, critical_jobs, jobs_without_criticality: 2 }), [
    "fail: 2 alerts are kept because no row takes them",
    "warn: One message is over 15 minutes late; the last error: Slack answered 410",
    "warn: 3 messages are refused within a day; the last error: Slack answered 410",
    "warn: Critical job sync_leads in smoothed has no owner, no runbook_url",
    "warn: 2 jobs have no criticality and count as important",
  ]);
  assert.deepEqual(found({ jobs: 0 }), ["fail: The inventory is empty"]);
});

Deno.test("doctor names the half of the connection that does not answer, and puts it first", () => {
  const half = { ok: true, where: "127.0.0.1", took_ms: 3, error: null };
  const down = { code: "unreachable", message: "Cannot call", hints: ["start it"] };
  const findings = judgeConnection({
    ok: false,
    origin: { kind: "given", text: "a test" },
    functions: { ...half, ok: false, error: down },
    hub: half,
  });
  const report = reportOf([...judgeOutbox(hubFacts()), ...findings]);
  assert.deepEqual(report.findings.map(({ area, status }) => `${area} ${status}`), [
    "connection fail",
    "connection ok",
    "outbox ok",
  ]);
  assert.deepEqual([report.ok, report.failed, report.findings[0]?.remedy], [false, 1, "start it"]);
});
