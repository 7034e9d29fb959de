/** Judges one job: its new rows and what was known of it → state, log, and the transitions of its incident. */
import type { CronFacts, CronRun } from "../domain/facts.ts";
import type { HubKnowledge, InventoryJob, JobState, OpenIncident } from "../domain/hub.ts";
import type { IncidentDetail } from "../domain/incident.ts";
import type { JobStatus, Severity } from "../domain/job.ts";
import type { IncidentTransition, LoggedRun, ObservedJob, Resolution } from "../domain/observation.ts";
import { checks } from "./checks/mod.ts";
import type { FinishedRun, JobView, Verdict } from "./checks/check.ts";
import { graceMinutes } from "./grace.ts";
import type { NewsEvent } from "../domain/delivery.ts";
import { owedDeliveries, severityOfJob } from "./owed_deliveries.ts";
import { type EndedRun, keepRecent, loggedMiss, loggedRun, type SortedRuns, sortRuns } from "./runs.ts";
import { isTimeZone, parseSchedule, previousSlot, type Schedule, slotsBetween } from "./schedule.ts";
import { judgeSlots, type RunSpan, type SlotJudgement } from "./slot_judgement.ts";

const MINUTE_MS = 60_000;

/** How close to a slot a run must have started to show that today's schedule was already in force. */
const FITTING_START_MS = 60_000;

/** pg_cron gives up a start after 10 seconds: a row that is older and never got to its command is what a crash left. */
const START_UP_LIMIT_MS = 60_000;

/** Slots judged for one job at one check: after a longer absence of the monitor only the oldest, the rest next time. */
const SLOTS_LIMIT = 5_000;

/** One job as a check's answer tells it. */
export interface JobReport {
  id: string;
  jobName: string;
  jobUser: string | null;
  schedule: string | null;
  criticality: string | null;
  status: JobStatus;
  verdict: string | null;
  summary: string;
  /** ISO 8601. */
  lastRunAt: string | null;
}

/** What one job's facts come to. */
export interface JudgedJob {
  state: JobState;
  runs: LoggedRun[];
  /** The run in progress, to be read again. */
  open: CronRun | null;
  transitions: IncidentTransition[];
  /** The newest slot that was missed, while nothing has run since; epoch milliseconds. */
  lastDue: number | null;
  report: JobReport;
}

/** What a check concluded: a state, the verdicts that led to it (the most telling first), or the doubt. */
interface Conclusion {
  status: JobStatus;
  verdicts: Verdict[];
  /** One word for the state: the first verdict's code, or the doubt. */
  code: string | null;
  summary: string;
}

/** Judges a job that the project shows, from its rows after the last look (by run id, ascending). */
export function judgeJob(
  shown: ObservedJob,
  rows: readonly CronRun[],
  facts: CronFacts,
  knowledge: HubKnowledge,
  project: ProjectView,
): JudgedJob {
  const known = project.known.get(shown.id);
  // a job that comes back after it was gone begins anew, with its annotations
  const previous = known?.removedAt === null ? knowledge.states.get(shown.id) ?? null : null;
  const incidents = project.incidents.get(shown.id) ?? [];
  const view = viewOf(shown, known, previous, rows, facts, {
    ...project,
    openDetail: incidents[0]?.detail ?? null,
  });
  const conclusion = conclude(view);
  const { id, jobName, jobUser, schedule } = shown;
  const lastRunAt = view.lastRunAt;
  return {
    state: {
      jobInventoryId: id,
      status: conclusion.status,
      verdict: conclusion.code,
      summary: conclusion.summary,
      schedule,
      slotsSince: view.slotsSince,
      judgedUntil: view.slotsSince === null ? null : view.slots.judgedUntil,
      lastRunAt,
      lastSuccessAt: view.lastSuccessAt,
      consecutiveFailures: view.consecutiveFailures,
      recentRuns: view.recentRuns,
    },
    runs: [
      ...view.sorted.ended.map((run) => loggedRun(id, run)),
      ...view.slots.missed.map((slot) => loggedMiss(id, slot)),
    ],
    open: view.sorted.open,
    transitions: transitions(view, conclusion, incidents, knowledge),
    lastDue: conclusion.status === "missed" ? lastDue(view) : null,
    report: {
      id,
      jobName,
      jobUser,
      schedule,
      criticality: view.job.criticality,
      status: conclusion.status,
      verdict: conclusion.code,
      summary: conclusion.summary,
      lastRunAt: lastRunAt === null ? null : new Date(lastRunAt).toISOString(),
    },
  };
}

/** The incidents of a job that is gone end. */
export function closeRemovedJob(id: string, knowledge: HubKnowledge): IncidentTransition[] {
  const job = knowledge.jobs.find((candidate) => candidate.id === id);
  const severity = severityOfJob(job?.criticality ?? null);
  return incidentsOf(id, knowledge).map((incident) => ({
    action: "resolve",
    id: incident.id,
    resolution: "removed",
    detail: {},
    deliveries: owedDeliveries(
      {
        severity,
        alertChannel: job?.alertChannel ?? null,
        projectName: knowledge.projectName,
        event: "resolved",
      },
      knowledge.alertConfigs,
    ),
  }));
}

function incidentsOf(jobInventoryId: string, knowledge: HubKnowledge): OpenIncident[] {
  return knowledge.incidents.filter((incident) =>
    incident.subjectKind === "job" && incident.subjectId === jobInventoryId
  );
}

/** What the project as a whole adds to the view of each job. */
export interface ProjectView {
  saturated: boolean;
  /** Whether its clock can be trusted. */
  clockOff: boolean;
  /** Runs that started before may be gone from its history: slots up to here are not judged. */
  knownFrom: number;
  /** By run id: when a run in progress was first seen, by the project's clock. */
  openSince: ReadonlyMap<number, number>;
  /** The inventory by id. */
  known: ReadonlyMap<string, InventoryJob>;
  /** Unresolved incidents of jobs, by inventory id. */
  incidents: ReadonlyMap<string, readonly OpenIncident[]>;
}

/** A {@link JobView}, with what only this file needs. */
interface FullView extends JobView {
  sorted: SortedRuns;
  /** `null`: no slot is judged (paused, or a schedule without slots). */
  slotsSince: number | null;
  clockOff: boolean;
}

function viewOf(
  shown: ObservedJob,
  known: InventoryJob | undefined,
  previous: JobState | null,
  rows: readonly CronRun[],
  facts: CronFacts,
  around: ProjectView & { openDetail: IncidentDetail | null },
): FullView {
  // a restored history holds runs again that were logged before it was lost
  const fresh = facts.reading === "restored" && previous !== null
    ? rows.filter((row) => (row.startedAt ?? 0) > (previous.lastRunAt ?? 0))
    : rows;
  const sorted = sortRuns(fresh, facts.serverStartedAt);
  const schedule = parseSchedule(shown.schedule ?? "", { pgCronVersion: facts.settings.pgCronVersion });
  const history = historyOf(previous, sorted.ended, fresh, facts.now);
  const job = { ...NOTHING_WRITTEN, firstSeenAt: facts.now, ...known, ...shown, removedAt: null };
  const grace = graceMinutes({
    intervalMinutes: shown.expectedIntervalMinutes,
    annotatedMinutes: job.graceMinutes,
  });
  const judgeable = shown.active && facts.settings.logRun && !around.clockOff;
  const sameJob = known === undefined || known.jobId === null || known.jobId === shown.jobId;
  const since = judgeable
    ? slotsSince(shown, schedule, sameJob ? previous : null, history.lastRunAt, facts)
    : null;
  const slots = since === null ? { missed: [], lastDecided: null, judgedUntil: facts.knownUntil } : judgeDue(
    schedule,
    Math.max(since.judgedUntil, around.knownFrom),
    runSpans(previous, sorted, facts.now),
    grace * MINUTE_MS,
    facts,
  );
  return {
    job,
    schedule,
    settings: facts.settings,
    launcherAlive: facts.launcherAlive,
    serverStartedAt: facts.serverStartedAt,
    now: facts.now,
    previous,
    lastFinished: sorted.ended.at(-1) ?? lastFinishedBefore(previous),
    newStarts: fresh.flatMap((row) => row.startedAt ?? []),
    recentRuns: keepRecent(previous?.recentRuns ?? [], sorted, slots.judgedUntil),
    slots,
    graceMinutes: grace,
    intervalMinutes: shown.expectedIntervalMinutes,
    open: openRunOf(sorted.open, facts, around.openSince),
    successCheck: facts.successChecks.find((answer) => answer.jobId === shown.jobId) ?? null,
    saturated: around.saturated,
    openDetail: around.openDetail,
    clockOff: around.clockOff,
    sorted,
    slotsSince: since?.slotsSince ?? null,
    ...history,
  };
}

function openRunOf(
  run: CronRun | null,
  facts: CronFacts,
  openSince: ReadonlyMap<number, number>,
): JobView["open"] {
  if (run === null) return null;
  const since = run.startedAt ?? openSince.get(run.runId) ?? facts.now;
  if (run.startedAt === null && facts.now - since > START_UP_LIMIT_MS) return null;
  const session = facts.sessions.find(({ pid }) => pid === run.pid) ?? null;
  return { run, since, session };
}

const NOTHING_WRITTEN = {
  description: null,
  successCriteria: null,
  criticality: null,
  alertChannel: null,
  owner: null,
  runbookUrl: null,
  graceMinutes: null,
  maxRuntimeMinutes: null,
  failureThreshold: null,
  successCheckSql: null,
  minRows: null,
};

/** Counts that go on from check to check. */
function historyOf(
  previous: JobState | null,
  ended: readonly EndedRun[],
  rows: readonly CronRun[],
  now: number,
) {
  let consecutiveFailures = previous?.consecutiveFailures ?? 0;
  let lastSuccessAt = previous?.lastSuccessAt ?? null;
  for (const run of ended) {
    if (run.status === "failed") consecutiveFailures++;
    if (run.status !== "success") continue;
    consecutiveFailures = 0;
    lastSuccessAt = run.startedAt ?? run.endedAt ?? lastSuccessAt;
  }
  // what seems to have started in the future ran when the clock was wrong
  const lastRunAt = [previous?.lastRunAt ?? null, ...rows.map(({ startedAt }) => startedAt)].reduce(
    (latest, startedAt) => startedAt === null ? latest : Math.max(latest ?? 0, Math.min(startedAt, now)),
    null,
  );
  return { consecutiveFailures, lastSuccessAt, lastRunAt };
}

function lastFinishedBefore(previous: JobState | null): FinishedRun | null {
  const last = previous?.recentRuns.findLast((run) => run.status !== "running");
  if (last === undefined || last.status === "running") return null;
  return {
    status: last.status,
    message: last.message ?? null,
    startedAt: ms(last.startedAt),
    endedAt: ms(last.endedAt),
  };
}

/**
 * From when on slots count: as before, while the schedule is the same and the job was not paused. At the project's
 * first look they count from the last run, if that run shows that today's schedule was already in force; otherwise
 * nobody knows since when it is, and they count from now.
 */
function slotsSince(
  shown: ObservedJob,
  schedule: Schedule,
  previous: JobState | null,
  lastRunAt: number | null,
  facts: CronFacts,
): { slotsSince: number; judgedUntil: number } | null {
  if (schedule.kind !== "cron" && schedule.kind !== "interval") return null;
  if (previous !== null && previous.schedule === shown.schedule && previous.slotsSince !== null) {
    return { slotsSince: previous.slotsSince, judgedUntil: previous.judgedUntil ?? previous.slotsSince };
  }
  const firstLook = previous === null && facts.reading !== "next";
  if (firstLook && lastRunAt !== null && fits(schedule, lastRunAt, facts.settings.timeZone)) {
    return { slotsSince: lastRunAt, judgedUntil: lastRunAt };
  }
  return { slotsSince: facts.now, judgedUntil: facts.now };
}

function fits(schedule: Schedule, startedAt: number, timeZone: string): boolean {
  if (schedule.kind === "interval") return true;
  const own = previousSlot(schedule, startedAt + 1, timeZone);
  return own !== null && startedAt - own <= FITTING_START_MS;
}

/** Runs that slots can be matched with. Those known before count with their time only: without one, they stood for a slot. */
function runSpans(previous: JobState | null, sorted: SortedRuns, now: number): RunSpan[] {
  const before = (previous?.recentRuns ?? []).filter((run) =>
    run.status !== "running" && run.startedAt !== null
  );
  // one that has not got to its command may never do so
  const open = sorted.open?.startedAt ?? null;
  const spans = [
    ...before.map((run) => ({ startedAt: ms(run.startedAt), endedAt: ms(run.endedAt), open: false })),
    ...sorted.ended.map((run) => ({ startedAt: run.startedAt, endedAt: run.endedAt, open: false })),
    ...(open === null ? [] : [{ startedAt: open, endedAt: null, open: true }]),
  ];
  // started in the future: the clock was wrong then
  return spans.filter(({ startedAt }) => (startedAt ?? 0) <= now);
}

function judgeDue(
  schedule: Schedule,
  judgedUntil: number,
  runs: readonly RunSpan[],
  graceMs: number,
  facts: CronFacts,
): SlotJudgement {
  if (schedule.kind === "interval") {
    return judgeInterval(schedule.seconds, judgedUntil, runs, graceMs, facts);
  }
  const due = slotsBetween(schedule, {
    after: judgedUntil,
    until: facts.knownUntil,
    timeZone: facts.settings.timeZone,
    limit: SLOTS_LIMIT,
  });
  // only what was enumerated can be judged: the rest is left for the next check
  const until = due.cut ? due.slots.at(-1) ?? facts.knownUntil : facts.knownUntil;
  return judgeSlots(due.slots, runs, graceMs, until);
}

/**
 * `N seconds` counts from the last start and has no slots: it is missed where nothing starts for N and the grace. A
 * run that takes longer is followed at once.
 */
function judgeInterval(
  seconds: number,
  judgedUntil: number,
  runs: readonly RunSpan[],
  graceMs: number,
  facts: CronFacts,
): SlotJudgement {
  const judgement: SlotJudgement = { missed: [], lastDecided: null, judgedUntil };
  let due = judgedUntil + seconds * 1000;
  let running = false;
  for (const { startedAt, endedAt, open } of runs) {
    // a failure without a start came at some time unknown: nobody can say that nothing was tried
    if (startedAt === null) return { missed: [], lastDecided: null, judgedUntil: facts.knownUntil };
    const until = open ? facts.knownUntil : endedAt ?? startedAt;
    if (until < judgedUntil) continue;
    if (startedAt - due > graceMs) judgement.missed.push(due);
    if (startedAt > judgement.judgedUntil) {
      judgement.lastDecided = startedAt;
      judgement.judgedUntil = startedAt;
    }
    due = Math.max(due, startedAt + seconds * 1000, until);
    running ||= open;
  }
  if (running || facts.knownUntil - due <= graceMs) return judgement;
  return { missed: [...judgement.missed, due], lastDecided: due, judgedUntil: facts.knownUntil };
}

/** The newest slot that was missed, also where it was so at an earlier look; `null` if none is known since slots count. */
function lastDue(view: FullView): number | null {
  const newest = view.slots.missed.at(-1);
  if (newest !== undefined) return newest;
  const since = view.slotsSince ?? Infinity;
  if (view.schedule.kind === "interval") {
    const due = Math.max(view.lastRunAt ?? 0, since) + view.schedule.seconds * 1000;
    return due <= view.now ? due : null;
  }
  const slot = previousSlot(view.schedule, view.slots.judgedUntil + 1, view.settings.timeZone);
  return slot !== null && slot > since ? slot : null;
}

function conclude(view: FullView): Conclusion {
  if (!view.job.active) {
    return { status: "paused", verdicts: [], code: "paused", summary: "paused in pg_cron" };
  }
  const verdicts = view.clockOff ? [] : checks.flatMap((check) => check.evaluate(view) ?? []);
  const [main] = verdicts;
  if (main?.status !== undefined) {
    return { status: main.status, verdicts, code: main.code, summary: main.summary };
  }
  const doubt = doubtOf(view);
  const status = doubt === null ? "healthy" : "unknown";
  // what is over is told now, and is no word about how the job is
  const code = (main?.gravity === "over" ? null : main?.code) ?? doubt?.[0] ?? null;
  return { status, verdicts, code, summary: main?.summary ?? doubt?.[1] ?? "the last run succeeded" };
}

/** Why a job without a verdict is still not healthy: healthy needs a success that nothing has put in doubt. */
function doubtOf(view: FullView): [reason: string, summary: string] | null {
  if (view.clockOff) return ["clock_off", "the project's clock is far off, so nobody can say what is due"];
  if (!view.settings.logRun) {
    return ["log_run_off", "cron.log_run is off on this project: no run leaves a trace"];
  }
  if (view.schedule.kind === "cron" && !isTimeZone(view.settings.timeZone)) {
    return ["time_zone_unknown", `cron.timezone is "${view.settings.timeZone}", which is no known time zone`];
  }
  if (view.lastFinished === null) {
    return view.open === null
      ? ["no_run_yet", "no run has been seen yet"]
      : ["first_run", "the first run that was seen is in progress"];
  }
  if (view.lastFinished.status === "unknown") {
    return ["cut_off", view.lastFinished.message ?? "the last run never said how it ended"];
  }
  if (view.lastFinished.status === "failed") {
    const threshold = view.job.failureThreshold ?? 1;
    return [
      "below_threshold",
      `${view.consecutiveFailures} of ${threshold} failures in a row that count as failed`,
    ];
  }
  return null;
}

/** Codes of verdicts that leave the job working: told at the lowest severity, in an incident of their own kind. */
const DEGRADED_CODES: ReadonlySet<string> = new Set(["overrun", "slow", "never_fires"]);

function transitions(
  view: FullView,
  conclusion: Conclusion,
  incidents: readonly OpenIncident[],
  { projectName, alertConfigs }: HubKnowledge,
): IncidentTransition[] {
  const common = {
    lastRunAt: iso(view.lastRunAt),
    lastSuccessAt: iso(view.lastSuccessAt),
    recentRuns: view.recentRuns.slice(-10),
  };
  const owed = (event: NewsEvent, severity: Severity) =>
    owedDeliveries({ severity, alertChannel: view.job.alertChannel, projectName, event }, alertConfigs);
  const subject = { subjectKind: "job", subjectId: view.job.id, jobInventoryId: view.job.id } as const;
  const asOpened = ({ code, summary, ...verdict }: Verdict, also: string[]) => {
    const severity = severityOf(view, { code, summary, ...verdict });
    const detail = { ...common, ...verdict.detail, also };
    return {
      action: "open",
      ...subject,
      code,
      severity,
      summary,
      detail,
      deliveries: owed("opened", severity),
    } as const;
  };
  const over = conclusion.verdicts.filter(({ gravity }) => gravity === "over");
  const [main, ...others] = conclusion.verdicts.filter(({ gravity }) => gravity !== "over");
  const also = others.map(({ summary }) => summary);
  const told = over.filter(() => incidents.length === 0).map((verdict) => ({
    ...asOpened(verdict, []),
    resolution: "recovered" as const,
  }));
  const same = incidents.filter((incident) => main !== undefined && sameGravity(incident, main));
  const ended = incidents.filter((incident) => !same.includes(incident)).flatMap((incident) => {
    const resolution = resolutionOf(view, conclusion, incident);
    if (resolution === null) return [];
    const deliveries = resolution === "superseded" ? [] : owed("resolved", incident.severity);
    return [{ action: "resolve" as const, id: incident.id, resolution, detail: common, deliveries }];
  });
  if (main === undefined) return [...told, ...ended];
  if (same.length === 0) return [...told, ...ended, ...(main.told ? [] : [asOpened(main, also)])];
  const { summary, severity, detail } = asOpened(main, also);
  return [
    ...told,
    ...ended,
    ...same.map(({ id }) => ({ action: "update" as const, id, severity, summary, detail })),
  ];
}

function sameGravity(incident: OpenIncident, verdict: Verdict): boolean {
  return DEGRADED_CODES.has(incident.code) === (verdict.gravity === "degraded");
}

function severityOf(view: JobView, verdict: Verdict): Severity {
  return verdict.severity ?? (verdict.gravity === "outage" ? severityOfJob(view.job.criticality) : "low");
}

/** How an incident ends, or `null` while nothing shows that it has: unknown is no recovery. */
function resolutionOf(view: FullView, conclusion: Conclusion, incident: OpenIncident): Resolution | null {
  if (conclusion.status === "paused") return "paused";
  if (DEGRADED_CODES.has(incident.code)) {
    // a graver incident takes its place; otherwise what slowed the job down is over
    return conclusion.verdicts.some(({ gravity }) => gravity === "outage") ? "superseded" : "recovered";
  }
  if (conclusion.status === "healthy") return "recovered";
  const rescheduled = view.previous !== null && view.previous.schedule !== view.job.schedule;
  const ofSchedule = ["missed", "never_ran", "schedule_invalid"].includes(incident.code);
  return ofSchedule && rescheduled ? "rescheduled" : null;
}

function ms(instant: string | null): number | null {
  return instant === null ? null : Date.parse(instant);
}

function iso(instant: number | null): string | null {
  return instant === null ? null : new Date(instant).toISOString();
}
