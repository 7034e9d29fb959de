/** Conditions of a project as a whole: a dead scheduler, a blind spot, a wrong clock. Its jobs' misses are held under them. */
import type { NewsEvent } from "../domain/delivery.ts";
import type { CronFacts, CronRun } from "../domain/facts.ts";
import type { HubKnowledge } from "../domain/hub.ts";
import type { IncidentDetail } from "../domain/incident.ts";
import type { Severity } from "../domain/job.ts";
import type { IncidentTransition } from "../domain/observation.ts";
import type { ProjectIdentity } from "../domain/project.ts";
import { fellIntoRestart } from "./checks/missed.ts";
import type { Continuity } from "./continuity.ts";
import type { ProjectView } from "./job_view.ts";
import type { JudgedJob } from "./judge_job.ts";
import { NOTHING_READ } from "./http_calls.ts";
import { stalledQueue } from "./http_queue.ts";
import { owedDeliveries } from "./owed_deliveries.ts";
import { MISSING_GRANT } from "./known_settings.ts";
import { formatDuration, formatUtc } from "./text.ts";

/** Farther than this from the hub's clock, nobody can say what is due. */
const CLOCK_LIMIT_MS = 5 * 60_000;

/** So many jobs have to be overdue at once, while nothing ran, before it is the scheduler and not the jobs. */
const OVERDUE_JOBS = 3;

/** Names of held jobs that an incident keeps; an alert names the first and counts the others. */
const HELD_JOBS_KEPT = 1_000;

const IN_PROGRESS: ReadonlySet<string> = new Set(["starting", "connecting", "sending", "running"]);

/** Something that holds for a project. */
export interface ProjectCondition {
  code: string;
  severity: Severity;
  summary: string;
  detail: IncidentDetail;
  /** Inventory ids of the jobs whose misses it explains. */
  explains?: readonly string[];
}

/** What each job's judgement needs of its project. */
export function projectViewOf(
  facts: CronFacts,
  knowledge: HubKnowledge,
  now: number,
  { knownFrom, gaps }: Continuity,
): Omit<ProjectView, "calls"> {
  const inProgress = (runs: readonly CronRun[]) => runs.filter(({ status }) => IN_PROGRESS.has(status));
  // one that had not got to its command by the last look is what a crash left
  const running = inProgress(facts.runs).length +
    inProgress(facts.reread).filter(({ startedAt }) => startedAt !== null).length;
  const { maxRunningJobs } = facts.settings;
  return {
    serverDownFrom: lastSignBefore(facts.serverStartedAt, facts, knowledge),
    saturated: maxRunningJobs !== null && running >= maxRunningJobs,
    clockOff: Math.abs(facts.now - now) > CLOCK_LIMIT_MS,
    clockWasOff: knowledge.incidents.some(({ code }) => code === "clock_off"),
    knownFrom,
    gaps,
    openSince: new Map(knowledge.openRuns.map((run) => [run.runId, run.firstSeenAt])),
    known: new Map(knowledge.jobs.map((job) => [job.id, job])),
    incidents: Map.groupBy(
      knowledge.incidents.filter(({ subjectKind }) => subjectKind === "job"),
      ({ subjectId }) => subjectId,
    ),
  };
}

function lastSignBefore(start: number, facts: CronFacts, knowledge: HubKnowledge): number {
  let last = -Infinity;
  const note = (instant: number | null) => {
    if (instant !== null && instant < start && instant > last) last = instant;
  };
  for (const { startedAt, endedAt } of [...facts.reread, ...facts.runs]) {
    note(startedAt);
    note(endedAt);
  }
  for (const { lastRunAt } of knowledge.states.values()) note(lastRunAt);
  return last;
}

/** What is wrong with the project itself, although it can be read. */
export function projectConditions(
  facts: CronFacts,
  knowledge: HubKnowledge,
  judged: readonly JudgedJob[],
  around: ProjectView,
): ProjectCondition[] {
  const active = judged.filter(({ report }) => report.status !== "paused");
  const silence = schedulerDown(facts, knowledge, active, around) ??
    stillDown(facts, knowledge, active, around) ??
    runsLost(facts, active, around);
  const conditions: ProjectCondition[] = silence === null ? [] : [silence];
  if (active.length === 0) return conditions;
  const hidden = hiddenSettings(facts);
  if (hidden !== null) conditions.push(hidden);
  if (facts.settings.logRun === false) {
    const summary = "cron.log_run is off: runs leave no trace, so that nobody can say how the jobs are";
    conditions.push({ code: "log_run_off", severity: "low", summary, detail: {} });
  }
  if (around.clockOff) {
    const summary = "its clock and the hub's are far apart: nobody can say which runs are due";
    conditions.push({ code: "clock_off", severity: "important", summary, detail: {} });
  }
  const stalled = facts.http ? stalledQueue(facts.http, knowledge.http ?? NOTHING_READ, facts.now) : null;
  if (stalled !== null) {
    conditions.push({ code: "http_queue_stalled", severity: "important", summary: stalled, detail: {} });
  }
  return conditions;
}

/** Settings that the role may not read and that nothing else tells. */
function hiddenSettings({ settings }: CronFacts): ProjectCondition | null {
  if (settings.access !== "no_privilege") return null;
  const unknown = [
    ...(settings.timeZone === null ? ["cron.timezone"] : []),
    ...(settings.logRun === null ? ["cron.log_run"] : []),
  ];
  if (unknown.length === 0) return null;
  const summary = `${
    unknown.join(" and ")
  } cannot be read, so that nobody can say how the jobs are: ${MISSING_GRANT}`;
  return { code: "settings_hidden", severity: "low", summary, detail: {} };
}

/**
 * The launcher is gone at two looks in a row, or at one while jobs are overdue or pg_cron is not even loaded; or, where it cannot be seen or seems
 * well, several jobs missed a slot that came after the last run of any job and after the server's start. Where every
 * place is taken, it is not the scheduler that is in the way.
 */
function schedulerDown(
  facts: CronFacts,
  knowledge: HubKnowledge,
  active: readonly JudgedJob[],
  { saturated }: ProjectView,
): ProjectCondition | null {
  if (active.length === 0) return null;
  const overdue = overdueOf(active);
  const lastRun = Math.max(0, ...active.map(({ state }) => state.lastRunAt ?? 0));
  const quietSince = Math.max(lastRun, facts.serverStartedAt);
  const unmet = overdue.flatMap(({ lastDue }) => lastDue !== null && lastDue > quietSince ? [lastDue] : []);
  const silent = unmet.length >= OVERDUE_JOBS;
  const notLoaded = facts.settings.access === "not_loaded";
  const gone = notLoaded ||
    facts.launcherAlive === false && (knowledge.launcherWasMissing || overdue.length > 0);
  if (!silent && !gone) return null;
  const held = overdue.map(({ report }) => report.jobName).sort();
  const critical = overdue.some(({ report }) => report.criticality === "critical");
  const many = held.length === 0
    ? ""
    : `; ${held.length} ${held.length === 1 ? "job is" : "jobs are"} overdue`;
  const full = saturated && !gone;
  return {
    code: full ? "saturated" : "scheduler_down",
    severity: critical ? "critical" : "important",
    summary: full
      ? `no job has started for ${formatDuration(facts.now - quietSince)}${many}: all ` +
        `${facts.settings.maxRunningJobs} places of cron.max_running_jobs are taken`
      : notLoaded
      ? `pg_cron's launcher is not running: shared_preload_libraries does not load pg_cron${many}`
      : gone
      ? `pg_cron's launcher is not running${many}`
      : `no job has run for ${formatDuration(facts.now - quietSince)}${many}: pg_cron starts nothing`,
    detail: {
      heldJobs: held.slice(0, HELD_JOBS_KEPT),
      expectedAt: unmet.length > 0 ? new Date(Math.min(...unmet)).toISOString() : null,
    },
    explains: overdue.map(({ report }) => report.id),
  };
}

/**
 * What was told of a silent project goes on until something shows that it is over: for a scheduler its launcher, or a
 * run; for lost runs the jobs, which nobody can judge while the clock is off.
 */
function stillDown(
  facts: CronFacts,
  knowledge: HubKnowledge,
  active: readonly JudgedJob[],
  { clockOff }: ProjectView,
): ProjectCondition | null {
  const noSign = facts.runs.length === 0 && (facts.launcherAlive !== true || clockOff);
  const open = knowledge.incidents.find(({ subjectKind, code }) =>
    subjectKind === "project" &&
    ((code === "scheduler_down" && noSign) || (code === "server_was_down" && clockOff))
  );
  if (open === undefined) return null;
  const { code, severity, summary, detail } = open;
  return { code, severity, summary, detail, explains: overdueOf(active).map(({ report }) => report.id) };
}

function overdueOf(active: readonly JudgedJob[]): JudgedJob[] {
  return active.filter(({ report }) => report.status === "missed");
}

/** Several jobs are overdue because the server was down when they were due: pg_cron never makes such runs up. */
function runsLost(
  { serverStartedAt }: CronFacts,
  active: readonly JudgedJob[],
  { serverDownFrom }: ProjectView,
): ProjectCondition | null {
  const lost = active.filter(({ report, lastDue }) =>
    report.status === "missed" && lastDue !== null &&
    fellIntoRestart({ serverStartedAt, serverDownFrom }, lastDue)
  );
  if (lost.length < OVERDUE_JOBS) return null;
  const critical = lost.some(({ report }) => report.criticality === "critical");
  return {
    code: "server_was_down",
    severity: critical ? "critical" : "important",
    summary: `the server was down until ${formatUtc(new Date(serverStartedAt))}: ` +
      `${lost.length} jobs missed runs that pg_cron does not make up`,
    detail: { heldJobs: lost.map(({ report }) => report.jobName).sort().slice(0, HELD_JOBS_KEPT) },
    explains: lost.map(({ report }) => report.id),
  };
}

/** What a project that can be read is said to have; the codes of others are why one cannot be read. */
const READABLE_CODES: ReadonlySet<string> = new Set([
  "scheduler_down",
  "saturated",
  "server_was_down",
  "log_run_off",
  "settings_hidden",
  "clock_off",
  "http_queue_stalled",
]);

/** A project that cannot be read: whatever else was told of it goes on, since nobody can see that it is over. */
export function unreadableTransitions(
  project: ProjectIdentity,
  fault: ProjectCondition,
  knowledge: HubKnowledge,
): IncidentTransition[] {
  const incidents = knowledge.incidents.filter(({ code }) => !READABLE_CODES.has(code));
  return projectTransitions(project, [fault], { ...knowledge, incidents });
}

/** What becomes of the project's incidents: those that hold go on, new ones open, the others are over. */
export function projectTransitions(
  project: ProjectIdentity,
  conditions: readonly ProjectCondition[],
  knowledge: HubKnowledge,
): IncidentTransition[] {
  const open = knowledge.incidents.filter((incident) =>
    incident.subjectKind === "project" && incident.subjectId === project.name
  );
  const ended = open.filter((incident) => !conditions.some(({ code }) => code === incident.code));
  const following = conditions.some(({ code }) => !open.some((incident) => incident.code === code));
  const deliveries = (event: NewsEvent, severity: Severity) =>
    owedDeliveries(
      { severity, alertChannel: null, projectName: project.name, event },
      knowledge.alertConfigs,
    );
  return [
    ...ended.map((incident) => ({
      action: "resolve" as const,
      id: incident.id,
      resolution: "recovered" as const,
      detail: {},
      // one fault followed by another is not good news
      deliveries: following ? [] : deliveries("resolved", incident.severity),
    })),
    ...conditions.map(({ explains: _, ...condition }): IncidentTransition => {
      const known = open.find((incident) => incident.code === condition.code);
      if (known !== undefined) return { action: "update", id: known.id, ...condition };
      const subject = { subjectKind: "project", subjectId: project.name, jobInventoryId: null } as const;
      return {
        action: "open",
        ...subject,
        ...condition,
        deliveries: deliveries("opened", condition.severity),
      };
    }),
  ];
}

/** Misses that a condition explains say nothing new: they open once it is over and they still hold. */
export function heldUnder(
  conditions: readonly ProjectCondition[],
  transitions: readonly IncidentTransition[],
): IncidentTransition[] {
  const explained = new Set(conditions.flatMap(({ explains }) => explains ?? []));
  return transitions.filter((transition) =>
    !(transition.action === "open" && transition.resolution === undefined &&
      (transition.code === "missed" || transition.code === "never_ran") &&
      explained.has(transition.subjectId))
  );
}
