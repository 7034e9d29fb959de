/**
 * The monitor for scripts: everything that the command line does, typed.
 *
 * ```ts
 * import { MonitoringAPI } from "./scripts/monitoring_api.ts";
 *
 * await using monitor = await MonitoringAPI.connect();
 * await monitor.auditAllProjects();
 * const { failed, missed } = await monitor.checkHealth();
 * ```
 */
import {
  type AuditReport,
  auditReport,
  type CollectionAnswer,
  collectionAnswer,
  type DeliveryAnswer,
  deliveryAnswer,
  exportsAnswer,
  type HealthReport,
  healthReport,
  type ProjectAudit,
  type ReportAnswer,
  reportAnswer,
} from "./monitor/answers.ts";
import { type AnnotatedJob, annotateJob, type Annotations, type JobChoice } from "./monitor/annotate_job.ts";
import { closestNames } from "./monitor/closest_names.ts";
import {
  type Connection,
  type ConnectionOrigin,
  type ConnectionReport,
  findConnection,
  type FindOptions,
  type Reachability,
} from "./monitor/connection.ts";
import { type DoctorReport, examine } from "./monitor/doctor.ts";
import { MonitorError } from "./monitor/errors.ts";
import { type ErrorFilter, type JobError, readErrors } from "./monitor/error_table.ts";
import {
  type AddedHeartbeat,
  addHeartbeat,
  type Heartbeat,
  heartbeatAnswer,
  type NewHeartbeat,
  readHeartbeats,
  removeHeartbeat,
  rotateHeartbeat,
} from "./monitor/heartbeats.ts";
import { type CallFunction, createFunctionCaller } from "./monitor/functions_client.ts";
import { type Hub, openHub, openHubDatabase } from "./monitor/hub_client.ts";
import { type ActedIncident, actOnIncidents } from "./monitor/incident_acts.ts";
import {
  checkSilence,
  type EndedSilence,
  endSilence,
  type ListedSilence,
  type MadeSilence,
  readSilences,
  type SilenceFilter,
  silenceOver,
  type SilenceRequest,
  writeSilence,
} from "./monitor/silences.ts";
import { whoActs } from "./monitor/who.ts";
import { type FailedReplay, type Replay, replay, type Thresholds } from "./replay.ts";
import { AppError } from "../supabase/functions/_shared/errors.ts";
import {
  type AlertChannel,
  type FalseAlarmRate,
  type HistoryFilter,
  type Incident,
  type IncidentFilter,
  type Job,
  type JobFilter,
  type LoggedRun,
  type Project,
  readChannels,
  readFalseAlarmRate,
  readHistory,
  readIncidents,
  readJobs,
  readLastCheck,
  readProjects,
  readSuccessesKept,
} from "./monitor/hub_tables.ts";
import { type Metric, type MetricFilter, readMetricNames, readMetrics } from "./monitor/metric_tables.ts";

export { MonitorError, type MonitorErrorCode } from "./monitor/errors.ts";
export type {
  ActedIncident,
  AddedHeartbeat,
  AnnotatedJob,
  Annotations,
  AuditReport,
  CollectionAnswer,
  Connection,
  ConnectionOrigin,
  ConnectionReport,
  DeliveryAnswer,
  DoctorReport,
  EndedSilence,
  ErrorFilter,
  FalseAlarmRate,
  FindOptions,
  HealthReport,
  Heartbeat,
  HistoryFilter,
  Incident,
  IncidentFilter,
  Job,
  JobChoice,
  JobError,
  JobFilter,
  ListedSilence,
  LoggedRun,
  MadeSilence,
  Metric,
  MetricFilter,
  NewHeartbeat,
  Project,
  ProjectAudit,
  Reachability,
  ReportAnswer,
  SilenceFilter,
  SilenceRequest,
};

/** Who calls, as `check_runs.source` keeps it. */
const SOURCE = "monitor";

/** What the log holds. */
export interface JobHistory {
  runs: LoggedRun[];
  /** `false`: successful runs are only counted, so their absence here says nothing. */
  successes_kept: boolean;
}

/** What {@link MonitoringAPI.quickStart} tells. */
export interface Overview {
  connection: ConnectionReport;
  /** `null`: the connection does not work. */
  audit: AuditReport | null;
  projects: Project[];
  incidents: Incident[];
  /** End of the last check that saw every project. */
  last_check_at: string | null;
}

/**
 * One monitor: actions go through its deployed functions, reads through its hub's tables.
 *
 * Every method may throw {@link MonitorError}, whose message says what failed, where, and what to do. Close it, or
 * declare it with `await using`.
 */
export class MonitoringAPI implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #call: CallFunction;
  readonly #hub: Hub;

  /** Talks to the given monitor; nothing is connected before the first call. {@link connect} finds one by itself. */
  constructor(connection: Connection) {
    this.#connection = connection;
    this.#call = createFunctionCaller(connection);
    this.#hub = openHub(connection);
  }

  /**
   * Finds the monitor: the local stack while one is up, else `SUPABASE_URL`, `MONITOR_SECRET_KEY` and
   * `SUPABASE_DB_URL` from the environment or `.env`.
   *
   * @throws {MonitorError} `not_configured`.
   */
  static async connect(options: FindOptions = {}): Promise<MonitoringAPI> {
    return new MonitoringAPI(await findConnection(options));
  }

  /** Which monitor this is: what the connection was read from. */
  get origin(): ConnectionOrigin {
    return this.#connection.origin;
  }

  /** Tries both halves: the functions with their key, and the hub's tables. Never throws. */
  async testConnection(): Promise<ConnectionReport> {
    const { url, hubDatabaseUrl, origin } = this.#connection;
    const [functions, hub] = await Promise.all([
      // answers what would be sent and sends nothing: the cheapest call that needs key, function and hub
      tried(
        `${new URL(url).origin}/functions/v1`,
        () => this.#call("send-alert", { dry_run: true }, deliveryAnswer),
      ),
      tried(placeOf(hubDatabaseUrl), () => readLastCheck(this.#hub)),
    ]);
    return { ok: functions.ok && hub.ok, origin, functions, hub };
  }

  /**
   * Discovers the jobs and edge functions of every watched project and keeps the inventory; annotations stay.
   *
   * @param options.dryRun reads the projects and writes nothing. Default `false`.
   */
  async auditAllProjects(options: { dryRun?: boolean } = {}): Promise<AuditReport> {
    return await this.#call("discover-jobs", triggerBody(undefined, options), auditReport);
  }

  /**
   * {@link auditAllProjects} for one project.
   *
   * @throws {MonitorError} `not_found` for a project that is not watched.
   */
  async auditProject(project: string, options: { dryRun?: boolean } = {}): Promise<AuditReport> {
    return await this.#call("discover-jobs", triggerBody(project, options), auditReport);
  }

  /**
   * The inventory with what the last check concluded of each job, as the hub has it now.
   *
   * @throws {MonitorError} `not_found` for a project that the hub does not know.
   */
  async listJobs(filter: JobFilter = {}): Promise<Job[]> {
    const jobs = await readJobs(this.#hub, filter);
    if (jobs.length === 0) await this.#expectProject(filter.project);
    return jobs;
  }

  /**
   * Annotates a job; only the given columns change, `null` or empty text clears one.
   *
   * @throws {MonitorError} `not_found` or `ambiguous` with `candidates`; `invalid_value` saying what is allowed.
   */
  async updateJob(choice: JobChoice | string, annotations: Annotations): Promise<AnnotatedJob> {
    return await annotateJob(this.#hub, typeof choice === "string" ? { name: choice } : choice, annotations);
  }

  /**
   * Runs and missed slots as the checks logged them, the last collected first.
   *
   * @throws {MonitorError} `not_found` for an unknown project or job, with `candidates`.
   */
  async getJobHistory(filter: HistoryFilter): Promise<JobHistory> {
    const [runs, successesKept] = await Promise.all([
      readHistory(this.#hub, filter),
      readSuccessesKept(this.#hub),
    ]);
    if (runs.length === 0) {
      await this.#expectProject(filter.project);
      if (filter.job !== undefined) await this.#expectJob(filter.project, filter.job);
    }
    return { runs, successes_kept: successesKept };
  }

  /**
   * Checks every watched project, or one, and opens and resolves incidents; their alerts go out by `send-alert`.
   *
   * @param options.dryRun judges and writes nothing. Default `false`.
   * @throws {MonitorError} `not_found` for a project that is not watched.
   */
  async checkHealth(project?: string, options: { dryRun?: boolean } = {}): Promise<HealthReport> {
    return await this.#call("check-job-health", triggerBody(project, options), healthReport);
  }

  /**
   * Incidents, unresolved first, each with who was told of it, what its alerts wait for, who took it on and which silence
   * covers it. Default: the unresolved ones.
   *
   * @throws {MonitorError} `not_found` for a project that the hub does not know.
   */
  async listIncidents(filter: IncidentFilter = {}): Promise<Incident[]> {
    const [incidents, silences] = [await readIncidents(this.#hub, filter), await readSilences(this.#hub)];
    if (incidents.length === 0) await this.#expectProject(filter.project);
    return incidents.map((incident) => {
      const silence = incident.resolved_at === null ? silenceOver(incident, silences) : null;
      const silenced = silence === null ? null : {
        id: silence.id,
        until: silence.holds_until ?? "",
        by: silence.created_by,
        reason: silence.reason,
      };
      return { ...incident, silenced };
    });
  }

  /** How often somebody said that nothing was wrong, over the incidents of the last 90 days. */
  async falseAlarmRate(project?: string): Promise<FalseAlarmRate> {
    return await readFalseAlarmRate(this.#hub, project);
  }

  /**
   * Takes incidents on: no more reminders and no escalation; their ends are told all the same.
   *
   * @param incidents Ids, or their first characters (4 or more) where those are unique; `#` before them is allowed.
   * @param options.by Who. Default: the operating system's user.
   * @returns Each incident; `changed` is `false` where it is over or was taken on before.
   * @throws {MonitorError} `not_found` or `ambiguous` with `candidates`, naming every fault; then nothing is changed.
   */
  async acknowledgeIncidents(
    incidents: string | readonly string[],
    options: { by?: string | undefined; note?: string | undefined } = {},
  ): Promise<ActedIncident[]> {
    const act = { kind: "acknowledge", note: options.note?.trim() || null } as const;
    return await actOnIncidents(this.#hub, [incidents].flat(), act, whoActs(options.by));
  }

  /**
   * Says of incidents that nothing was wrong: acknowledges those that last, and counts in {@link falseAlarmRate}.
   *
   * @param incidents As for {@link acknowledgeIncidents}, which tells also what is answered and thrown.
   */
  async markFalseAlarms(
    incidents: string | readonly string[],
    options: { by?: string | undefined } = {},
  ): Promise<ActedIncident[]> {
    return await actOnIncidents(this.#hub, [incidents].flat(), { kind: "false alarm" }, whoActs(options.by));
  }

  /**
   * Closes incidents by hand, and tells whoever was told of them. A condition that still holds at the next check opens
   * another one.
   *
   * @param incidents As for {@link acknowledgeIncidents}, which tells also what is answered and thrown.
   */
  async resolveIncidents(
    incidents: string | readonly string[],
    options: { by?: string | undefined } = {},
  ): Promise<ActedIncident[]> {
    return await actOnIncidents(this.#hub, [incidents].flat(), { kind: "resolve" }, whoActs(options.by));
  }

  /**
   * Silences jobs for a while, or again and again by a schedule. Incidents are recorded all the same; one that still
   * holds at the silence's end is told then.
   *
   * ```ts
   * await monitor.silence({ project: "smoothed", jobs: "sync_*", for: "2h", reason: "migration" });
   * ```
   *
   * @returns The silence, and the jobs that it fits now.
   * @throws {MonitorError} `usage` naming every fault of the request, `not_found` for an unknown project; then nothing is
   * written.
   */
  async silence(request: SilenceRequest): Promise<MadeSilence> {
    return await writeSilence(this.#hub, checkSilence(request, Date.now()));
  }

  /** Silences and their next times. Default: those that hold now or will. */
  async listSilences(filter: SilenceFilter = {}): Promise<ListedSilence[]> {
    const silences = await readSilences(this.#hub, filter);
    if (silences.length === 0) await this.#expectProject(filter.project);
    return silences;
  }

  /**
   * Ends a silence now: what still holds is told.
   *
   * @param silence Its id, or the first characters (4 or more) where those are unique.
   * @throws {MonitorError} `not_found` or `ambiguous` with `candidates`.
   */
  async endSilence(silence: string, options: { by?: string | undefined } = {}): Promise<EndedSilence> {
    return await endSilence(this.#hub, silence, whoActs(options.by));
  }

  /**
   * Looks at everything that has to be right for an alert or a report to arrive: connection, schema, schedules, functions,
   * projects, rows of `alert_config` and their channels, subscriptions, annotations. Never throws.
   */
  async doctor(): Promise<DoctorReport> {
    return await examine({
      hub: this.#hub,
      connection: await this.testConnection(),
      audit: () => this.auditAllProjects({ dryRun: true }),
      preview: () => this.#call("send-alert", { source: SOURCE, dry_run: true }, deliveryAnswer),
      exporters: async () => {
        const { exports } = await this.#call("export-runs", { source: SOURCE, dry_run: true }, exportsAnswer);
        return exports.map(({ exporter }) => exporter);
      },
      previewAs: (secretKey) =>
        createFunctionCaller({ ...this.#connection, secretKey })(
          "send-alert",
          { source: SOURCE, dry_run: true },
          deliveryAnswer,
        ),
    });
  }

  /**
   * The latest number of each series of every metric that is on, the gravest first.
   *
   * @throws {MonitorError} `not_found` for a project or metric that the hub does not know.
   */
  async listMetrics(filter: MetricFilter = {}): Promise<Metric[]> {
    const metrics = await readMetrics(this.#hub, filter);
    if (metrics.length === 0) {
      await this.#expectProject(filter.project);
      if (filter.name !== undefined) await this.#expectMetric(filter.name);
    }
    return metrics;
  }

  /**
   * What jobs failed with in the last days, by fingerprint and job.
   *
   * @throws {MonitorError} `not_found` for a project or job that the hub does not know.
   */
  async listErrors(filter: ErrorFilter = {}): Promise<JobError[]> {
    const errors = await readErrors(this.#hub, filter);
    if (errors.length === 0) {
      await this.#expectProject(filter.project);
      if (filter.project !== undefined && filter.job !== undefined) {
        await this.#expectJob(filter.project, filter.job);
      }
    }
    return errors;
  }

  /** The report with all its rows and as a mail, and who would get it; sends nothing. */
  async previewReport(report: "daily" | "weekly"): Promise<ReportAnswer> {
    return await this.#call("send-report", { source: SOURCE, report, dry_run: true }, reportAnswer);
  }

  /** Owes a report to the subscribers who have not had it for its period. */
  async sendReport(report: "daily" | "weekly"): Promise<ReportAnswer> {
    return await this.#call("send-report", { source: SOURCE, report }, reportAnswer);
  }

  /**
   * Asks for one metric now, of every project or of one, also where it is off; stores nothing and alerts nobody.
   *
   * @throws {MonitorError} `not_found` for a metric that has no definition, or a project that is not watched.
   */
  async testMetric(metric: string, project?: string): Promise<CollectionAnswer> {
    await this.#expectMetric(metric);
    return await this.#call(
      "collect-metrics",
      { ...triggerBody(project, { dryRun: true }), metric },
      collectionAnswer,
    );
  }

  /** Every project that the hub knows, with how its jobs are. */
  async listProjects(): Promise<Project[]> {
    return await readProjects(this.#hub);
  }

  /**
   * What the rules would have told over the history that exists, job by job, so that thresholds can be chosen from
   * evidence. Reads a project's own history where its URL is known here, else the hub's log. Of several projects each
   * fails alone, and is told as such beside the others.
   *
   * @throws {MonitorError} `not_found` for an unknown project; `unreachable` where no history can be read.
   */
  async replay(
    options: { project?: string | undefined } & Thresholds & { days: number },
  ): Promise<(Replay | FailedReplay)[]> {
    const { project, ...thresholds } = options;
    if (project !== undefined) await this.#expectProject(project);
    const names = project === undefined ? (await this.listProjects()).map(({ name }) => name) : [project];
    const { caCert, projectUrls = {} } = this.#connection;
    const hub = openHubDatabase(this.#connection);
    try {
      const replays: (Replay | FailedReplay)[] = [];
      for (const name of names) {
        const databaseUrl = projectUrls[name];
        const place = { project: name, hub, caCert, ...(databaseUrl === undefined ? {} : { databaseUrl }) };
        replays.push(await replay({ ...place, ...thresholds }).catch((error) => failedReplay(name, error)));
      }
      const [first] = replays;
      if (first !== undefined && "error" in first && replays.every((one) => "error" in one)) {
        const { code, message } = first.error;
        throw new MonitorError(code === "not_found" ? "not_found" : "unreachable", message);
      }
      return replays;
    } finally {
      await hub.end({ timeout: 2 }).catch(() => {});
    }
  }

  /** When the last check that saw every project ended, ISO 8601; `null`: there was none yet. */
  async lastCheckAt(): Promise<string | null> {
    return await readLastCheck(this.#hub);
  }

  /**
   * Sends a test alert through every enabled row of a channel (`discord`, `telegram`), or through the row of that name.
   *
   * @throws {MonitorError} `not_found` where `alert_config` has no such row, with `candidates`.
   */
  async testAlert(channel: string): Promise<DeliveryAnswer> {
    const rows = await readChannels(this.#hub);
    const row = rows.find((one) => one.name === channel);
    const isChannel = rows.some((one) => one.channel === channel);
    if (row === undefined && !isChannel) throw unknownChannel(channel, rows);
    const test = isChannel || row === undefined
      ? { channel }
      : { channel: row.channel, alert_config_id: row.id };
    return await this.#call("send-alert", { source: SOURCE, test }, deliveryAnswer);
  }

  /** Heartbeats, and how each is now, by project and name. */
  async listHeartbeats(): Promise<Heartbeat[]> {
    return await readHeartbeats(this.#hub);
  }

  /**
   * Sets up a heartbeat and answers its URL, which is shown this once. It is a job of the inventory right away,
   * unless the functions do not answer: `in_inventory` says so.
   *
   * @throws {MonitorError} `invalid_value` saying what is allowed, or that there is one of that name.
   */
  async addHeartbeat(wanted: NewHeartbeat): Promise<AddedHeartbeat & { in_inventory: boolean }> {
    const added = await addHeartbeat(this.#hub, this.#connection.url, wanted);
    // its URL must not be lost where the functions do not answer
    const in_inventory = await this.#call("cron-healthcheck", { source: SOURCE }, heartbeatAnswer)
      .then(() => true, () => false);
    return { ...added, in_inventory };
  }

  /**
   * Gives a heartbeat another URL; the old one works on for so many hours.
   *
   * @throws {MonitorError} `not_found`, with `candidates`.
   */
  async rotateHeartbeat(name: string, keepHours: number): Promise<AddedHeartbeat> {
    return await rotateHeartbeat(this.#hub, this.#connection.url, name, keepHours);
  }

  /**
   * Removes a heartbeat: its URLs stop to work at once and its incident ends. Annotations and log stay.
   *
   * @throws {MonitorError} `not_found`, with `candidates`.
   */
  async removeHeartbeat(name: string): Promise<void> {
    await removeHeartbeat(this.#hub, name);
    await this.#call("cron-healthcheck", { source: SOURCE }, heartbeatAnswer);
  }

  /** An overview: tests the connection, discovers every project's jobs, and tells how they are. */
  async quickStart(): Promise<Overview> {
    const connection = await this.testConnection();
    if (!connection.ok) return { connection, audit: null, projects: [], incidents: [], last_check_at: null };
    const audit = await this.auditAllProjects();
    const [projects, incidents, last_check_at] = [
      await this.listProjects(),
      await this.listIncidents(),
      await this.lastCheckAt(),
    ];
    return { connection, audit, projects, incidents, last_check_at };
  }

  /** Ends the connection to the hub. */
  async close(): Promise<void> {
    await this.#hub.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Nothing found may mean that the name is wrong. */
  async #expectProject(name: string | undefined): Promise<void> {
    if (name === undefined) return;
    const known = (await this.listProjects()).map((project) => project.name);
    if (known.includes(name)) return;
    throw new MonitorError("not_found", `The hub knows no project "${name}"`, {
      candidates: closestNames(name, known),
      hints: [
        known.length === 0 ? "It knows none yet: audit looks for them" : `It knows: ${known.join(", ")}`,
      ],
    });
  }

  async #expectMetric(name: string): Promise<void> {
    const names = await readMetricNames(this.#hub);
    if (names.includes(name)) return;
    const candidates = closestNames(name, names);
    throw new MonitorError("not_found", `No metric is called "${name}"`, {
      candidates,
      hints: ["Definitions are rows of metric_definitions"],
    });
  }

  async #expectJob(project: string, name: string): Promise<void> {
    const names = (await readJobs(this.#hub, { project, which: "all" })).map((job) => job.job_name);
    if (names.includes(name)) return;
    const candidates = closestNames(name, names);
    throw new MonitorError("not_found", `No job is called "${name}" in project "${project}"`, {
      candidates,
      hints: candidates.length === 0 ? [`See them all with jobs --project ${project} --all`] : [],
    });
  }
}

/** The others are replayed all the same. */
function failedReplay(project: string, error: unknown): FailedReplay {
  if (!(error instanceof AppError)) throw error;
  return { project, error: { code: error.code, message: error.message } };
}

function unknownChannel(channel: string, rows: readonly AlertChannel[]): MonitorError {
  const names = rows.flatMap((row) => row.name === null ? [row.channel] : [row.name, row.channel]);
  const known = [...new Set(names)];
  return new MonitorError("not_found", `alert_config has no row with name or channel "${channel}"`, {
    candidates: closestNames(channel, known),
    hints: [known.length === 0 ? "It has no row at all" : `It has: ${known.join(", ")}`],
  });
}

function triggerBody(project: string | undefined, { dryRun = false }: { dryRun?: boolean }): object {
  return { source: SOURCE, dry_run: dryRun, ...(project === undefined ? {} : { project }) };
}

async function tried(where: string, attempt: () => Promise<unknown>): Promise<Reachability> {
  const began = performance.now();
  const took = () => Math.round(performance.now() - began);
  try {
    await attempt();
    return { ok: true, where, took_ms: took(), error: null };
  } catch (error) {
    if (!(error instanceof MonitorError)) throw error;
    const { code, message, hints } = error;
    return { ok: false, where, took_ms: took(), error: { code, message, hints } };
  }
}

/** `127.0.0.1:54322/postgres`, without user and password. */
function placeOf(databaseUrl: string): string {
  const { host, pathname } = new URL(databaseUrl);
  return `${host}${pathname}`;
}
