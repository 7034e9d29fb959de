import assert from "node:assert/strict";
import type { AuditReport, HealthReport, Incident, IncidentFilter } from "../../scripts/monitoring_api.ts";
import { type Annotations, annotations, type JobChoice } from "../../scripts/monitor/annotate_job.ts";
import { jsonText } from "../../scripts/monitor/context.ts";
import { MonitorError } from "../../scripts/monitor/errors.ts";
import type { Project } from "../../scripts/monitor/hub_tables.ts";
import type { Replay } from "../../scripts/replay.ts";
import { NOON } from "../support/facts.ts";
import { runWith, shownJob } from "../support/monitor_world.ts";

const COUNTS = { jobs: 1, healthy: 1, failed: 0, missed: 0, unknown: 0, paused: 0 };

function health(over: Partial<HealthReport> = {}): HealthReport {
  const sums = { errors: 0, incidents_opened: 0, incidents_resolved: 0 };
  return {
    ok: true,
    request_id: "r",
    checked_at: "",
    dry_run: false,
    ...COUNTS,
    ...sums,
    projects: [],
    ...over,
  };
}

function audit(over: Partial<AuditReport> = {}): AuditReport {
  const counts = { jobs: 0, edge_functions: 0, changes: 0, errors: 0 };
  return { ok: true, request_id: "r", discovered_at: "", dry_run: false, ...counts, projects: [], ...over };
}

function incident(over: Partial<Incident> = {}): Incident {
  return {
    id: "i",
    project_name: "smoothed",
    subject_kind: "job",
    subject_id: "s",
    job_name: "sync_leads",
    job_user: "postgres",
    owner: null,
    runbook_url: null,
    code: "failed",
    severity: "critical",
    summary: "the last run failed",
    opened_at: new Date(NOON - 60_000).toISOString(),
    last_seen_at: new Date(NOON).toISOString(),
    resolved_at: null,
    resolution: null,
    alerts: ["sent"],
    acknowledged_at: null,
    acknowledged_by: null,
    acknowledgement_note: null,
    false_alarm_at: null,
    false_alarm_by: null,
    resolved_by: null,
    messages: [],
    false_alarms: null,
    silenced: null,
    ...over,
  };
}

/** A monitor with these incidents, of which one in twenty is a false alarm. */
function incidents(list: Incident[], asked: IncidentFilter[] = []) {
  return {
    listIncidents: (filter: IncidentFilter = {}) => Promise.resolve(asked.push(filter)).then(() => list),
    falseAlarmRate: () => Promise.resolve({ incidents: 40, false_alarms: 2, rate: 0.05 }),
  };
}

function inventory(jobs: ReturnType<typeof shownJob>[], projects: Project[] = []) {
  return {
    listJobs: () => Promise.resolve(jobs),
    listProjects: () => Promise.resolve(projects),
    lastCheckAt: () => Promise.resolve(new Date(NOON - 180_000).toISOString()),
  };
}

Deno.test("monitor without a command shows the commands and is fine", async () => {
  const { code, stdout } = await runWith([]);
  assert.equal(code, 0);
  for (
    const name of ["quick-start", "audit", "jobs", "annotate", "check", "history", "incidents", "schedule"]
  ) {
    assert.match(stdout, new RegExp(`^  ${name}`, "m"));
  }
});

Deno.test("every command has help with an example, on standard output", async () => {
  const commands = [
    ...["quick-start", "audit", "jobs", "annotate", "check", "history", "incidents", "schedule", "doctor"],
    ...["ack", "false-alarm", "resolve", "silence", "silences", "unsilence"],
  ];
  for (
    const name of [...commands.map((one) => [one]), ["alert", "test"], ["project", "list"], [
      "project",
      "test",
    ]]
  ) {
    const { code, stdout, stderr } = await runWith([...name, "--help"]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, new RegExp(`Examples:\\n.* monitor ${name.join(" ")}`));
    assert.match(stdout, /--json/);
  }
});

Deno.test("a misspelt command or option is a fault of usage that names what was meant", async () => {
  const command = await runWith(["job"]);
  assert.equal(command.code, 2);
  assert.match(command.stderr, /Unknown command 'job'\n {2}Did you mean:\n {4}jobs/);
  const option = await runWith(["jobs", "--projct", "x"]);
  assert.equal(option.code, 2);
  assert.match(option.stderr, /Did you mean:\n {4}--project/);
  assert.deepEqual([command.connections, option.connections], [[], []]);
});

Deno.test("a fault of usage names the help of the very command, also of one in a group", async () => {
  assert.match((await runWith(["history"])).stderr, /See .* monitor help history$/m);
  assert.match((await runWith(["metric", "test"])).stderr, /See .* monitor metric test --help$/m);
  assert.match(
    (await runWith(["--json", "heartbeat", "add"])).stderr,
    /See .* monitor heartbeat add --help$/m,
  );
  assert.match((await runWith(["heartbeat", "ad"])).stderr, /See .* monitor help heartbeat$/m);
  assert.match((await runWith(["nothing"])).stderr, /See .* monitor --help$/m);
});

Deno.test("missing and superfluous arguments, and bad values, are faults of usage", async () => {
  const faulty = [
    ["history"],
    ["jobs", "more"],
    ["jobs", "--project", "No!"],
    ["incidents", "--limit", "0"],
    ["annotate", "sync_leads"],
    ["annotate", "sync_leads", "--grace-minutes", "soon"],
    ["annotate", "sync_leads", "--failure-threshold", "1.5"],
    ["annotate", "sync_leads", "--health-check-timeout-ms", "1s"],
    ["annotate", "sync_leads", "--max-error-percent", "5%"],
    ["annotate", "sync_leads", "--min-invocations", "2.5"],
    ["annotate", "sync_leads", "--owner", "x", "--type", "cron"],
    ["schedule"],
    ["schedule", "* * * * *", "--stdin"],
    ["schedule", "* * * * *", "--timezone", "Mars/Olympus"],
    ["schedule", "* * * * *", "--from", "yesterday"],
    ["alert"],
  ];
  for (const args of faulty) {
    const { code, stdout, connections } = await runWith(args);
    assert.deepEqual({ args, code, stdout, connections }, { args, code: 2, stdout: "", connections: [] });
  }
});

Deno.test("--json makes an error one JSON document on standard output", async () => {
  const { code, stdout } = await runWith(["jobs", "--json"], {
    listJobs: () => {
      throw new MonitorError("not_found", 'The hub knows no project "x"', { candidates: ["y"] });
    },
  });
  assert.equal(code, 2);
  const { ok, error } = JSON.parse(stdout);
  assert.deepEqual([ok, error.code, error.candidates], [false, "not_found", ["y"]]);
});

Deno.test("an error that nobody foresaw shows neither its text nor a stack", async () => {
  const { code, stdout, stderr } = await runWith(["project", "list"], {
    listProjects: () => {
      throw new TypeError("password=hunter2");
    },
  });
  assert.deepEqual([code, stdout], [2, ""]);
  assert.doesNotMatch(stderr, /hunter2|at .*:\d+/);
});

Deno.test("options of every command may stand before and after it", async () => {
  const before = await runWith(["--env", "--json", "project", "list"], {
    listProjects: () => Promise.resolve([]),
  });
  const after = await runWith(["project", "list", "--json", "--env"], {
    listProjects: () => Promise.resolve([]),
  });
  assert.deepEqual([before.stdout, after.stdout], ["[]\n", "[]\n"]);
  assert.deepEqual(before.connections, after.connections);
  assert.equal(before.connections[0]?.prefer, "environment");
});

Deno.test("jobs tells schedule, status, last run and who looks after it, and marks what nobody annotated", async () => {
  const bare = { description: null, criticality: null, owner: null };
  const { code, stdout } = await runWith(
    ["jobs"],
    inventory([shownJob(), shownJob({ job_name: "job 7", job_user: "crm_app", status: "failed", ...bare })]),
  );
  assert.equal(code, 0);
  assert.match(stdout, /sync_leads .*every hour .*✓ healthy .*12 min ago, 11:48 UTC .*important .*data team/);
  assert.match(stdout, /job 7 .*crm_app .*✗ failed .*not annotated/);
  assert.match(stdout, /2 jobs: 1 healthy, 1 failed · last full check 3 min ago, 11:57 UTC/);
  assert.match(stdout, /annotate "job 7" --project smoothed/);
});

Deno.test("jobs and audit show what is doubtful about commands, ten lines at most", async () => {
  const warning = "the JWT in its command expired";
  const { stdout } = await runWith(["jobs"], {
    listJobs: () => Promise.resolve([shownJob({ warnings: Array(12).fill(warning) })]),
    listProjects: () => Promise.resolve([]),
    lastCheckAt: () => Promise.resolve(null),
  });
  assert.equal(stdout.split(`! sync_leads in smoothed ${warning}`).length, 11);
  assert.match(stdout, /and 2 more warnings: --json/);
  const project = {
    project: "smoothed",
    status: "ok" as const,
    errors: [],
    jobs: 1,
    edge_functions: 0,
    changes: [],
  };
  const audited = await runWith(["audit"], {
    auditAllProjects: () =>
      Promise.resolve(audit({ projects: [{ ...project, warnings: [{ job: "a", code: "c", warning }] }] })),
  });
  assert.match(audited.stdout, /! a in smoothed the JWT in its command expired/);
});

Deno.test("check tells what pg_net could not do", async () => {
  const http = {
    ...{ queue: 3, worker_up: true, answers: 10, failed: 2, timed_out: 1, failure_rate: 0.3 },
    ...{ calls_kept: true, strangers: ["typo"], errors: [] },
  };
  const project = {
    project: "smoothed",
    status: "ok" as const,
    ...COUNTS,
    runs_logged: 0,
    changes: [],
    details: [],
    http,
  };
  const { stdout } = await runWith(["check"], {
    checkHealth: () =>
      Promise.resolve(health({ projects: [{ ...project, incidents_opened: 0, incidents_resolved: 0 }] })),
  });
  assert.match(
    stdout,
    /pg_net of smoothed: 2 of 10 answers of the last hour failed, 1 timed out, 3 requests in the queue, calls under names that no job has: typo/,
  );
});

Deno.test("jobs never shows as healthy what no check has judged", async () => {
  const { stdout } = await runWith(
    ["jobs"],
    inventory([shownJob({ status: null, job_type: "edge_function" })]),
  );
  assert.match(stdout, /edge_function .*· not checked/);
  assert.match(stdout, /1 job: 1 not checked/);
});

Deno.test("a schedule in another zone says so", async () => {
  const job = shownJob({ schedule: "0 9 * * *", time_zone: "Europe/Berlin" });
  const { stdout } = await runWith(["jobs"], inventory([job]));
  assert.match(stdout, /at 09:00 every day \(Europe\/Berlin\)/);
});

Deno.test("names and errors from a project cannot move the cursor, colour or turn what is printed", async () => {
  const evil = "a\u001b[2J\u009b31mb\u202ec\nd\u0007";
  const { stdout } = await runWith(["jobs"], inventory([shownJob({ job_name: evil, owner: evil })]));
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  assert.equal(stdout.trim().split("\n").length, 4);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(jsonText({ evil }), /[\u001b\u009b\u202e]/);
  assert.deepEqual(JSON.parse(jsonText({ evil })), { evil });
});

Deno.test("--fail turns failed, missed and unreadable into exit code 1, and nothing else", async () => {
  const of = async (args: string[], monitor: Parameters<typeof runWith>[1]) =>
    (await runWith(args, monitor)).code;
  const check = (over: Partial<HealthReport>) => ({ checkHealth: () => Promise.resolve(health(over)) });
  assert.equal(await of(["check"], check({ failed: 1 })), 0);
  assert.equal(await of(["check", "--fail"], check({ unknown: 3, paused: 1 })), 0);
  assert.equal(await of(["check", "--fail"], check({ failed: 1 })), 1);
  assert.equal(await of(["check", "--fail"], check({ missed: 1 })), 1);
  assert.equal(await of(["check", "--fail"], check({ errors: 1 })), 1);
  assert.equal(
    await of(["audit", "--fail"], { auditAllProjects: () => Promise.resolve(audit({ errors: 1 })) }),
    1,
  );
  assert.equal(await of(["audit", "--fail"], { auditAllProjects: () => Promise.resolve(audit()) }), 0);
  assert.equal(await of(["jobs", "--fail"], inventory([shownJob({ status: "missed" })])), 1);
  assert.equal(await of(["jobs", "--fail"], inventory([shownJob({ status: "unknown" })])), 0);
  const gone = shownJob({ status: "failed", removed_at: new Date(NOON).toISOString() });
  assert.equal(await of(["jobs", "--all", "--fail"], inventory([gone])), 0);
  assert.equal(await of(["incidents", "--fail"], incidents([incident()])), 1);
  const ended = incident({ resolved_at: new Date(NOON).toISOString(), resolution: "recovered" });
  assert.equal(
    await of(["incidents", "--all", "--fail"], incidents([ended])),
    0,
  );
});

Deno.test("check names what is not healthy and why, the worst first", async () => {
  const job = {
    id: "",
    job_user: "postgres",
    schedule: "* * * * *",
    criticality: null,
    verdict: null,
    last_run_at: null,
  };
  const details: HealthReport["projects"][number]["details"] = [
    { ...job, job_name: "late", status: "missed", summary: "no run for the slot" },
    { ...job, job_name: "fine", status: "healthy", summary: "the last run succeeded" },
    { ...job, job_name: "broken", status: "failed", summary: "the last run failed" },
  ];
  const counts = { jobs: 3, healthy: 1, failed: 1, missed: 1, unknown: 0, paused: 0 };
  const moved = { incidents_opened: 2, incidents_resolved: 1 };
  const project = {
    project: "smoothed",
    status: "ok" as const,
    ...counts,
    runs_logged: 0,
    ...moved,
    changes: [
      { job: "late", change: "schedule", old_value: "0 * * * *", new_value: "* * * * *" },
      { job: "old", change: "removed", old_value: "0 0 * * *", new_value: null },
    ],
    details,
  };
  const dead = {
    ...{ project: "scraping", status: "error" as const, changes: [], details: [], runs_logged: 0 },
    ...{ ...COUNTS, jobs: 0, healthy: 0, incidents_opened: 0, incidents_resolved: 0 },
    error: { code: "unreachable", message: 'Cannot connect to project "scraping"' },
  };
  const report = health({ ...counts, ...moved, errors: 1, projects: [dead, project] });
  const { stdout } = await runWith(["check"], { checkHealth: () => Promise.resolve(report) });
  assert.match(stdout, /scraping .*Cannot connect to project "scraping"/);
  assert.match(stdout, /✗ failed .*broken .*the last run failed\n! missed .*late/);
  assert.doesNotMatch(stdout, /fine/);
  assert.match(
    stdout,
    / {2}late in smoothed: schedule changed, 0 \* \* \* \* → \* \* \* \* \*\n {2}old in smoothed: removed\n/,
  );
  assert.match(stdout, /2 incidents opened, 1 resolved/);
});

Deno.test("check and audit pass project and dry run on", async () => {
  const asked: unknown[] = [];
  await runWith(["check", "--project", "smoothed", "--dry-run"], {
    checkHealth: (...given) => Promise.resolve(asked.push(given)).then(() => health({ dry_run: true })),
  });
  await runWith(["audit", "--project", "smoothed", "--dry-run"], {
    auditProject: (...given) => Promise.resolve(asked.push(given)).then(() => audit({ dry_run: true })),
  });
  assert.deepEqual(asked, [["smoothed", { dryRun: true }], ["smoothed", { dryRun: true }]]);
});

Deno.test("annotate writes only what was given, and empty text clears", async () => {
  const asked: [JobChoice | string, Annotations][] = [];
  const { code, stdout, stderr } = await runWith(
    [
      ...["annotate", "sync_leads", "--project", "smoothed", "--user", "crm_app", "--type", "pg_cron"],
      ...[
        "--description",
        "Copies leads",
        "--owner",
        "",
        "--grace-minutes",
        "2.5",
        "--max-runtime-minutes",
        "",
      ],
    ],
    {
      updateJob: (choice, annotations) => {
        asked.push([choice, annotations]);
        return Promise.resolve({ job: shownJob(), warnings: ["nobody is told"] });
      },
    },
  );
  assert.deepEqual(asked, [[
    { name: "sync_leads", project: "smoothed", user: "crm_app", type: "pg_cron" },
    { description: "Copies leads", owner: "", grace_minutes: 2.5, max_runtime_minutes: null },
  ]]);
  assert.equal(code, 0);
  assert.match(stdout, /\* description +Copies leads\n/);
  assert.equal(stderr, "! nobody is told\n");
});

Deno.test("annotate has an option for every annotation", async () => {
  const { stdout } = await runWith(["annotate", "--help"]);
  const missing = annotations.keyof().options.filter((column) =>
    !stdout.includes(`--${column.replaceAll("_", "-")} `)
  );
  assert.deepEqual(missing, []);
});

Deno.test("annotate writes what is expected of an edge function in the columns' units", async () => {
  const asked: Annotations[] = [];
  await runWith(
    [
      ...["annotate", "sync-leads", "--type", "edge_function", "--max-error-percent", "2.5"],
      ...["--min-invocations", "20", "--max-silence-minutes", "90", "--health-check-timeout-ms", "2000"],
      ...["--health-check-header", "apikey: vault:key", "--health-check-url", ""],
    ],
    {
      updateJob: (_choice, given) => {
        asked.push(given);
        return Promise.resolve({ job: shownJob({ job_type: "edge_function" }), warnings: [] });
      },
    },
  );
  assert.deepEqual(asked, [{
    ...{ max_error_percent: 2.5, min_invocations: 20, max_silence_minutes: 90 },
    ...{ health_check_timeout_ms: 2000, health_check_header: "apikey: vault:key", health_check_url: "" },
  }]);
});

Deno.test("an ambiguous job names the candidates", async () => {
  const { code, stderr } = await runWith(["annotate", "purge", "--owner", "x"], {
    updateJob: () => {
      throw new MonitorError("ambiguous", '2 jobs are called "purge"', {
        candidates: ["purge in a", "purge in b"],
      });
    },
  });
  assert.equal(code, 2);
  assert.match(stderr, /They are:\n {4}purge in a\n {4}purge in b/);
});

Deno.test("incidents tells whether anybody was told", async () => {
  const { stdout } = await runWith(
    ["incidents"],
    incidents([incident(), incident({ alerts: ["unroutable"], code: "missed" })]),
  );
  assert.match(stdout, /critical .*failed .*sent\n {4}the last run failed\n/);
  assert.match(stdout, /missed .*no channel/);
});

Deno.test("incidents tells who took it on, what keeps it quiet, whom it was told and what waits", async () => {
  const message = { channel: "discord", event: "opened" as const, count: 1, reason: null };
  const at = new Date(NOON - 60_000).toISOString();
  const { stdout } = await runWith(
    ["incidents"],
    incidents([incident({
      id: "5f2c19aa-0000-4000-8000-000000000001",
      acknowledged_at: at,
      acknowledged_by: "dana",
      acknowledgement_note: "restarting it",
      false_alarm_by: "ada",
      silenced: { id: "s", until: new Date(NOON + 3_600_000).toISOString(), by: "eve", reason: "migration" },
      messages: [
        { ...message, row: "team", state: "sent", at },
        { ...message, row: "team", event: "reminder", count: 3, state: "sent", at },
        { ...message, row: "phone", state: "due", at, reason: "Quiet hours until 07:00" },
        { ...message, row: "mail", state: "failed", at, reason: "Resend answered 403" },
      ],
      false_alarms: { incidents: 7, false_alarms: 2, rate: 0.286 },
    })]),
  );
  const lines = stdout.split("\n").map((line) => line.trim());
  assert.match(lines[1] ?? "", /^5f2c19aa +critical +failed .* waits$/);
  assert.deepEqual(lines.slice(2, -3), [
    "the last run failed",
    "acknowledged by dana 1 min ago, 11:59 UTC: restarting it",
    "silenced until 2026-11-21 13:00 UTC by eve: migration",
    "a false alarm, says ada",
    "2 of 7 such incidents in 90 days were false alarms",
    "told: team (opened, 1 min ago), team (reminder 3 times, 1 min ago)",
    "waits: phone (opened): Quiet hours until 07:00",
    "not told: mail (opened): Resend answered 403",
  ]);
  assert.match(stdout, /1 open incident · false alarms: 2 of 40 in 90 days \(5 %\)/);
});

Deno.test("incidents --since takes a duration or a time, and shows what has ended too", async () => {
  const asked: IncidentFilter[] = [];
  for (const since of ["2h", "2026-11-20T00:00Z"]) {
    await runWith(["incidents", "--since", since, "--json"], incidents([], asked));
  }
  assert.deepEqual(asked.map(({ which, since }) => [which, since]), [
    ["all", new Date(NOON - 2 * 3_600_000).toISOString()],
    ["all", "2026-11-20T00:00:00.000Z"],
  ]);
  assert.equal((await runWith(["incidents", "--since", "lately"])).code, 2);
});

Deno.test("alert test is exit code 2 when the channel does not take it", async () => {
  const delivery = { id: null, alert_config_id: "c", channel: "discord", event: "test", incidents: [] };
  const answer = (state: "sent" | "failed", error?: string) => ({
    ...{ ok: true as const, request_id: "r", sent: state === "sent" ? 1 : 0, retried: 0, unroutable: 0 },
    failed: state === "sent" ? 0 : 1,
    deliveries: [{ ...delivery, state, ...(error === undefined ? {} : { error }) }],
  });
  const good = await runWith(["alert", "test", "discord"], {
    testAlert: () => Promise.resolve(answer("sent")),
  });
  assert.deepEqual([good.code, good.stdout], [0, "✓ discord took the test alert\n"]);
  const bad = await runWith(["alert", "test", "discord"], {
    testAlert: () => Promise.resolve(answer("failed", "Unknown Webhook")),
  });
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /did not take the test alert: Unknown Webhook/);
});

Deno.test("replay tells each project, also one that could not be read, and ends with 2 then", async () => {
  const smoothed: Replay = {
    ...{ project: "smoothed", source: "cron.job_run_details", shortened: false, checks: 96 },
    ...{ since: new Date(NOON - 86_400_000).toISOString(), until: new Date(NOON).toISOString() },
    incidents: [],
    jobs: [],
  };
  const error = { code: "unreachable", message: 'Cannot connect to project "scraping": connection refused' };
  const both = () => Promise.resolve([{ project: "scraping", error }, smoothed]);
  const { code, stdout } = await runWith(["replay", "--days", "1"], { replay: both });
  assert.equal(code, 2);
  assert.match(
    stdout,
    /^scraping {2}✗ Cannot connect to project "scraping": connection refused\n\nsmoothed {2}0 alerts/,
  );
  assert.equal((await runWith(["replay"], { replay: () => Promise.resolve([smoothed]) })).code, 0);
});
