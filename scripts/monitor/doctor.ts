/** The doctor: what keeps an alert from arriving, a line each, with what to do about it. */
import type { AlertRoute } from "../../supabase/functions/_shared/domain/delivery.ts";
import type { Severity } from "../../supabase/functions/_shared/domain/job.ts";
import { nameOfRow, routeNews } from "../../supabase/functions/_shared/rules/routing.ts";
import { formatDuration } from "../../supabase/functions/_shared/rules/text.ts";
import { MIGRATIONS_DIR } from "../local/repository.ts";
import type { AuditReport, DeliveryAnswer, ProjectAudit } from "./answers.ts";
import type { ConnectionReport } from "./connection.ts";
import { type DoctorFacts, readFacts, readScheduleKey } from "./doctor_facts.ts";
import { dueReport, judgeReports } from "./doctor_reports.ts";
import { MonitorError } from "./errors.ts";
import { type Area, AREAS, fail, type Finding, ok, warn } from "./finding.ts";
import { task } from "./help.ts";
import type { Hub } from "./hub_client.ts";
import { counted } from "./words.ts";

export type { Area, Finding };

/** What the doctor found. */
export interface DoctorReport {
  /** Nothing fails. */
  ok: boolean;
  failed: number;
  warned: number;
  findings: Finding[];
}

/** Where the doctor looks. */
export interface Examined {
  hub: Hub;
  connection: ConnectionReport;
  /** Reads every project and writes nothing. */
  audit(): Promise<AuditReport>;
  /** Decides what would be sent and sends nothing. */
  preview(): Promise<DeliveryAnswer>;
  /** Whom `export-runs` would tell of runs: `traces`, `check_ins`. Only the functions know what is set. */
  exporters(): Promise<string[]>;
  /** The same as {@link Examined.preview}, called with the key that the schedules use. */
  previewAs(secretKey: string): Promise<DeliveryAnswer>;
}

const MINUTE_MS = 60_000;
const PUSH = "npx -y supabase@3 db push --remote";
const ENABLE = "select monitoring.enable_schedules();";
/** How long after its last run a function is late, and how long after it is missing; in minutes. */
interface Patience {
  late: number;
  missing: number;
  /** What that leaves undone. */
  means: string;
}

const EVERY_5_MINUTES = { late: 15, missing: 45 };

/** What the hub's functions are judged by. */
type RunFacts = Pick<DoctorFacts, "now" | "functions" | "functions_since" | "heartbeats" | "subscriptions">;

function patience(
  { heartbeats, subscriptions, now }: RunFacts,
  exporters: readonly string[],
): Readonly<Record<string, Patience>> {
  // where nobody has set one up, only the schedule of six hours calls it
  const healthcheck = heartbeats > 0 ? EVERY_5_MINUTES : { late: 400, missing: 800 };
  const reports = subscriptions.some((one) => one.enabled && dueReport(one, new Date(now)) !== null);
  return {
    "check-job-health": { late: 35, missing: 65, means: "nobody looks at the jobs" },
    "send-alert": { late: 5, missing: 15, means: "alerts are kept and not sent" },
    "discover-jobs": { late: 780, missing: 2_880, means: "new jobs are not found" },
    "check-edge-functions": { ...EVERY_5_MINUTES, means: "nobody looks at the edge functions and webhooks" },
    "cron-healthcheck": { ...healthcheck, means: "nobody looks at the heartbeats" },
    "collect-metrics": { ...EVERY_5_MINUTES, means: "nobody asks for the metrics" },
    // from the last call of one day to the first of the next
    ...reports ? { "send-report": { late: 1_500, missing: 2_940, means: "nobody gets a report" } } : {},
    ...exporters.length > 0
      ? { "export-runs": { ...EVERY_5_MINUTES, means: `nobody is told of runs (${exporters.join(", ")})` } }
      : {},
  };
}

/** What sets a function going by hand. */
const CALLS: Readonly<Record<string, string>> = {
  "check-job-health": task("check"),
  "send-alert": ENABLE,
  "discover-jobs": task("audit"),
};
/** The same of those that no person calls first. */
const LATER_CALLS: Readonly<Record<string, string>> = { "send-report": task("report daily --send") };
const SHOWN_JOBS = 10;

/** Looks at everything; what cannot be looked at is a finding too. */
export async function examine(examined: Examined): Promise<DoctorReport> {
  const { hub, connection, audit, preview, exporters } = examined;
  const findings = [...judgeConnection(connection)];
  const facts = connection.hub.ok ? await attempt("schema", () => readFacts(hub)) : null;
  const answer = connection.functions.ok ? await attempt("alerts", preview) : null;
  const audited = connection.functions.ok ? await attempt("projects", audit) : null;
  const exported = connection.functions.ok ? await attempt("runs", exporters) : null;
  findings.push(...[facts, answer, audited, exported].flatMap((result) => result?.failure ?? []));
  const expected = await migrationsHere();
  if (facts?.value) {
    const known = facts.value;
    findings.push(...judgeSchema(known, expected), ...judgeSchedules(known));
    findings.push(...judgeRuns(known, exported?.value ?? []), ...await judgeKey(known, examined));
    findings.push(...judgeAlerts(known, answer?.value ?? null), ...judgeOutbox(known));
    findings.push(...judgeReports(known, answer?.value?.config_faults ?? []), ...judgeJobs(known));
  }
  if (audited?.value) findings.push(...judgeProjects(audited.value.projects, facts?.value ?? null));
  return reportOf(findings);
}

/** Counts findings, and puts them into the order of their areas, the gravest of each first. */
export function reportOf(findings: readonly Finding[]): DoctorReport {
  const order = (finding: Finding) =>
    AREAS.indexOf(finding.area) * 3 + ["fail", "warn", "ok"].indexOf(finding.status);
  const count = (status: Finding["status"]) => findings.filter((finding) => finding.status === status).length;
  return {
    ok: count("fail") === 0,
    failed: count("fail"),
    warned: count("warn"),
    findings: findings.toSorted((a, b) => order(a) - order(b)),
  };
}

type Attempt<T> = { value: T; failure?: never } | { value: null; failure: Finding };

async function attempt<T>(area: Area, work: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await work() };
  } catch (error) {
    if (!(error instanceof MonitorError)) throw error;
    return { value: null, failure: fail(area, error.message, error.hints.join("; ") || null) };
  }
}

async function migrationsHere(): Promise<string[]> {
  const files = await Array.fromAsync(Deno.readDir(MIGRATIONS_DIR));
  return files.flatMap(({ name }) => /^(\d{14})_\w+\.sql$/.exec(name)?.[1] ?? []).sort();
}

/** Whether both halves answer. */
export function judgeConnection({ functions, hub, origin }: ConnectionReport): Finding[] {
  return ([["The functions", functions], ["The hub", hub]] as const).map(([what, half]) =>
    half.error === null
      ? ok("connection", `${what}: ${half.where} answers in ${half.took_ms} ms`)
      : fail("connection", half.error.message, half.error.hints.join("; ") || `Going to ${origin.text}`)
  );
}

/** Whether the hub has the migrations that this checkout has. */
export function judgeSchema(
  { migrations }: Pick<DoctorFacts, "migrations">,
  expected: readonly string[],
): Finding[] {
  if (migrations === null) {
    return [warn("schema", "Nobody has recorded which migrations are applied", PUSH)];
  }
  const missing = expected.filter((version) => !migrations.includes(version));
  const ahead = migrations.filter((version) => !expected.includes(version));
  if (missing.length > 0) {
    return [fail("schema", `Migrations are missing: ${missing.join(", ")}`, PUSH)];
  }
  if (ahead.length > 0) {
    return [warn("schema", `The hub is newer than this checkout: ${ahead.join(", ")}`, "git pull")];
  }
  return [ok("schema", `All ${expected.length} migrations are applied`)];
}

/** Whether the monitor's own jobs run, and can call the functions. */
export function judgeSchedules({ schedules, has_url, has_key }: DoctorFacts): Finding[] {
  const words = {
    paused: ["is paused", "are paused"],
    other: ["differs from monitoring.schedules", "differ from monitoring.schedules"],
    missing: ["is not scheduled", "are not scheduled"],
  } as const;
  const off = Map.groupBy(schedules.filter(({ state }) => state !== "on"), ({ state }) => state);
  const findings = [...off].map(([state, jobs]) => {
    const [one, many] = words[state as keyof typeof words];
    const names = jobs.map(({ job_name }) => job_name).join(", ");
    return fail("schedules", `${names} ${jobs.length === 1 ? one : many}`, ENABLE);
  });
  if (!has_url) {
    const remedy = "select vault.create_secret('https://<ref>.supabase.co', 'project_url');";
    findings.push(fail("schedules", "The Vault has no project_url: the schedules call nobody", remedy));
  }
  if (!has_key) {
    const remedy = "select vault.create_secret('sb_secret_…', 'monitor_secret_key');";
    findings.push(
      fail("schedules", "The Vault has no monitor_secret_key: the schedules are refused", remedy),
    );
  }
  if (findings.length > 0) return findings;
  return [ok("schedules", `On: ${schedules.map(({ job_name }) => job_name).join(", ")}`)];
}

/** Whether the functions take the key that the schedules call them with. */
async function judgeKey(
  { has_key }: DoctorFacts,
  { hub, connection, previewAs }: Examined,
): Promise<Finding[]> {
  if (!has_key || !connection.functions.ok) return [];
  try {
    await previewAs(await readScheduleKey(hub));
  } catch (error) {
    if (!(error instanceof MonitorError)) throw error;
    // what else goes wrong does so with the caller's own key too, and is said there
    if (error.code !== "unauthorized") return [];
    return [fail("schedules", "The functions refuse the key that the schedules call them with", NEW_KEY)];
  }
  return [ok("schedules", "The functions take the key that the schedules call them with")];
}

const NEW_KEY =
  "select vault.update_secret((select id from vault.secrets where name = 'monitor_secret_key'), 'sb_secret_…');";

/**
 * Whether the functions have run lately, to the end.
 *
 * @param exporters Whom `export-runs` is set up to tell; where there is nobody, nothing is expected of it.
 */
export function judgeRuns(facts: RunFacts, exporters: readonly string[]): Finding[] {
  const { now, functions, functions_since } = facts;
  const age = (at: string) => Date.parse(now) - Date.parse(at);
  return Object.entries(patience(facts, exporters)).flatMap(([name, { late, missing, means }]) => {
    const known = functions.find(({ function_name }) => function_name === name);
    const call = CALLS[name] ?? LATER_CALLS[name] ?? `select monitoring.invoke_edge_function('${name}');`;
    if (known === undefined || known.last_began_at === null) {
      // what a person calls first runs at once, the rest when their schedules say
      const young = functions_since !== null && age(functions_since) <= missing * MINUTE_MS;
      if (young && !(name in CALLS)) return [warn("runs", `${name} has not run yet: ${means}`, call)];
      return [fail("runs", `${name} has never run: ${means}`, call)];
    }
    const began = age(known.last_began_at);
    const findings: Finding[] = [];
    if (began > missing * MINUTE_MS) {
      findings.push(fail("runs", `${name} ran ${formatDuration(began)} ago: ${means}`, ENABLE));
    } else if (began > late * MINUTE_MS) {
      findings.push(warn("runs", `${name} is late: it ran ${formatDuration(began)} ago`, ENABLE));
    } else if (known.last_status !== "complete") {
      const why = known.last_error === null ? "" : `: ${known.last_error}`;
      const how = known.last_status === "failed" ? "failed" : `was ${known.last_status}`;
      findings.push(warn("runs", `${name}: the last run ${how}${why}`, null));
    } else findings.push(ok("runs", `${name} ran ${formatDuration(began)} ago`));
    const { died } = known;
    if (died > 0) {
      const message = `${name}: ${died === 1 ? "a run" : `${died} runs`} of the last day never ended`;
      findings.push(warn("runs", message, `Look at the function's log at the time: see check_runs`));
    }
    return findings;
  });
}

const PROJECT_REMEDIES: Readonly<Record<string, string>> = {
  wrong_credentials:
    "Set its URL right: the secret <PROJECT>_SUPABASE_POSTGRES_URL, or monitored_projects.database_url",
  secret_missing: "Set the secret, or change monitored_projects.database_url",
  project_paused: "Restore the project, or stop watching it: update monitored_projects set enabled = false",
  no_privilege: 'See "A role for watched projects" in docs/DEPLOY.md',
  pg_cron_missing: "Enable pg_cron there, or stop watching it",
  management_api: "Set the secret MANAGEMENT_API_TOKEN right",
};

/** Whether each project can be read, and by a role that sees enough. */
export function judgeProjects(audited: readonly ProjectAudit[], facts: DoctorFacts | null): Finding[] {
  const findings = audited.flatMap(({ project, status, errors, jobs }) => {
    if (errors.length === 0) return [ok("projects", `${project} can be read, ${counted(jobs, "job")}`)];
    return errors.map(({ code, message }) =>
      // jobs were read where only the edge functions could not be
      (status === "ok" ? warn : fail)(
        "projects",
        message,
        PROJECT_REMEDIES[code] ?? task(`project test ${project}`),
      )
    );
  });
  for (const { project_name: name, enabled, read, launcher_alive, log_run } of facts?.projects ?? []) {
    const watched = audited.some(({ project }) => project === name);
    if (!enabled) {
      findings.push(
        warn(
          "projects",
          `${name} is not watched`,
          `update monitored_projects set enabled = true where name = '${name}';`,
        ),
      );
    }
    if (!watched || !read) continue;
    if (launcher_alive === null) {
      const remedy = "Grant its role pg_monitor: docs/DEPLOY.md";
      findings.push(warn("projects", `${name}: nobody can see whether pg_cron's launcher lives`, remedy));
    }
    if (launcher_alive === false) {
      const remedy = "Restart its Postgres; see the logs for why the launcher died";
      findings.push(fail("projects", `${name}: pg_cron's launcher is not running`, remedy));
    }
    if (log_run === false) {
      findings.push(
        warn("projects", `${name}: cron.log_run is off, so its jobs cannot be judged`, "Switch it on"),
      );
    }
  }
  if (audited.length === 0) {
    findings.push(fail("projects", "No project is watched", "See docs/DEPLOY.md, Secrets"));
  }
  return findings;
}

/** Whether what people wrote leads somewhere, for every severity of every project. */
export function judgeAlerts(facts: DoctorFacts, answer: DeliveryAnswer | null): Finding[] {
  const routes = facts.routes.flatMap((one) => "route" in one ? [one.route] : []);
  const faults = answer?.config_faults ?? [];
  return [
    ...facts.routes.flatMap((one) => "unreadable" in one ? [unreadable(one.unreadable)] : []),
    ...faults.map(judgeFault),
    ...routes.flatMap((route) => judgeRow(route, faults, facts.now)),
    ...facts.routes.length === 0 ? judgeDefaults(answer) : judgeCoverage(routes, facts),
  ];
}

function unreadable(id: string): Finding {
  const remedy = "Set it right in the table editor";
  return fail("alerts", `Row ${id} of alert_config cannot be read`, remedy);
}

function judgeFault(fault: string): Finding {
  if (/^job_inventory\.alert_channel/.test(fault)) {
    return warn(
      "alerts",
      `${fault}: its alerts go the usual way`,
      "Name a row or a channel: monitor annotate … --alert-channel",
    );
  }
  if (/^alert_config\.project_name|quiet_time_zone/.test(fault)) {
    return warn("alerts", fault, "Set the row right in the table editor");
  }
  if (/^Silence /.test(fault)) return fail("alerts", fault, "End it and make another: monitor unsilence");
  if (/^No enabled row/.test(fault)) return fail("alerts", fault, "Add a row that takes it: docs/ALERTS.md");
  const remedy = /Cannot resolve/.test(fault)
    ? "Set the secret (npx -y supabase@3 secrets set, or vault.create_secret), or name another in the row"
    : "Set the row right in the table editor; docs/ALERTS.md says what its channel needs";
  return fail("alerts", fault, remedy);
}

function judgeRow(route: AlertRoute, faults: readonly string[], now: string): Finding[] {
  const name = nameOfRow(route);
  const { criticality, minSeverity, projectName, enabled, dead, lastSuccessAt } = route;
  if (!enabled) return [ok("alerts", `Row ${name} is disabled`)];
  if (dead !== null) {
    const remedy = `Set the row right, then: ${task(`alert test ${route.name ?? route.channel}`)}`;
    return [fail("alerts", `Row ${name}: nothing gets through: ${dead.reason}`, remedy)];
  }
  if (faults.some((fault) => fault.startsWith(`Row ${name} `))) return [];
  if (route.events.length === 0) return [ok("alerts", `Row ${name} gets reports and no alerts`)];
  const what = criticality === "all" ? "all alerts" : `${criticality} alerts`;
  const least = minSeverity === null ? "" : `, ${minSeverity} or graver`;
  const of = projectName === null ? "" : ` of ${projectName}`;
  const last = lastSuccessAt === null
    ? "nothing sent yet"
    : `last sent ${formatDuration(Math.max(0, Date.parse(now) - lastSuccessAt))} ago`;
  return [ok("alerts", `Row ${name} takes ${what}${least}${of}; ${last}`)];
}

/** An empty `alert_config` is filled from the secrets that exist. */
function judgeDefaults(answer: DeliveryAnswer | null): Finding[] {
  const routes = answer?.default_routes;
  if (routes !== undefined && routes.length > 0) {
    const rows = routes.map(({ name, criticality }) => `${name} (${criticality})`).join(", ");
    return [warn("alerts", `alert_config is empty: the next run of send-alert writes ${rows}`, null)];
  }
  const remedy = "Set a channel's secrets, such as DISCORD_WEBHOOK_URL, or add a row: docs/ALERTS.md";
  return [fail("alerts", "alert_config is empty: nobody is told of anything", remedy)];
}

function judgeCoverage(routes: readonly AlertRoute[], { projects }: DoctorFacts): Finding[] {
  const names = projects.filter(({ enabled }) => enabled).map(({ project_name }) => project_name);
  const severities: readonly Severity[] = ["critical", "important", "low"];
  const findings = severities.flatMap((severity) => {
    const untold = names.filter((projectName) =>
      routeNews({ severity, projectName, alertChannel: null, event: "opened" }, routes).length === 0
    );
    if (untold.length === 0) return [];
    const where = untold.length === names.length ? "" : ` of ${untold.join(", ")}`;
    const message = `No enabled row takes ${severity} alerts${where}: they are kept and told to nobody`;
    return [
      (severity === "low" ? warn : fail)("alerts", message, "Add a row to alert_config: docs/ALERTS.md"),
    ];
  });
  if (findings.length > 0 || names.length === 0) return findings;
  return [ok("alerts", "Every severity of every project has a row")];
}

/** Whether messages get out. */
export function judgeOutbox({ outbox }: Pick<DoctorFacts, "outbox">): Finding[] {
  const { unroutable, overdue, failed_today, last_error } = outbox;
  const why = last_error === null ? "" : `; the last error: ${last_error}`;
  const many = (count: number, one: string) => count === 1 ? `One ${one} is` : `${count} ${one}s are`;
  const findings = [
    ...unroutable === 0 ? [] : [
      fail(
        "outbox",
        `${many(unroutable, "alert")} kept because no row takes them`,
        "Add a row to alert_config: they go there at once",
      ),
    ],
    ...overdue === 0 ? [] : [
      warn(
        "outbox",
        `${many(overdue, "message")} over 15 minutes late${why}`,
        "See last_error in alert_deliveries where state = 'due'",
      ),
    ],
    ...failed_today === 0 ? [] : [
      warn(
        "outbox",
        `${many(failed_today, "message")} refused within a day${why}`,
        "They went to the next row that fits, where there is one",
      ),
    ],
  ];
  return findings.length > 0 ? findings : [ok("outbox", "Nothing is late, refused or without a row")];
}

/** Whether whoever is told will know what to do. */
export function judgeJobs(
  facts: Pick<DoctorFacts, "critical_jobs" | "jobs_without_criticality" | "jobs">,
): Finding[] {
  const { critical_jobs, jobs_without_criticality: bare, jobs } = facts;
  const lacking = critical_jobs.filter(({ lacks }) => lacks.length > 0);
  const findings = lacking.slice(0, SHOWN_JOBS).map(({ project_name, job_name, lacks }) => {
    const option = `--${(lacks[0] ?? "owner").replaceAll("_", "-")} …`;
    const remedy = task(`annotate "${job_name}" --project ${project_name} ${option}`);
    return warn("jobs", `Critical job ${job_name} in ${project_name} has no ${lacks.join(", no ")}`, remedy);
  });
  if (lacking.length > SHOWN_JOBS) {
    findings.push(warn("jobs", `So do ${lacking.length - SHOWN_JOBS} more critical jobs`, task("jobs")));
  }
  if (bare > 0) {
    const message = `${
      bare === 1 ? "A job has" : `${bare} jobs have`
    } no criticality and counts as important`;
    findings.push(
      warn(
        "jobs",
        bare === 1 ? message : message.replace("counts", "count"),
        task("annotate <job> --criticality …"),
      ),
    );
  }
  if (jobs === 0) return [fail("jobs", "The inventory is empty", task("audit"))];
  return findings.length > 0 ? findings : [ok("jobs", "Every job says how much it matters")];
}
