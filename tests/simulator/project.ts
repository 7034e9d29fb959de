/** A simulated project: the minutes pass, and what people and machines do to it. */
import { parseSchedule } from "../../supabase/functions/_shared/rules/schedule.ts";
import type { Agenda } from "./agenda.ts";
import type { JobSpec } from "./jobs.ts";
import {
  crashLauncher,
  jobsChanged,
  markPendingRunsAsFailed,
  planWake,
  startLauncher,
  stopLauncher,
} from "./launcher.ts";
import type { Random } from "./random.ts";
import { shouldRun, wallClock } from "./wall_clock.ts";
import {
  clockOf,
  MINUTE,
  noteEvent,
  noteFailure,
  type RunRow,
  SECOND,
  type Settings,
  type StoredJob,
  truthOf,
  type World,
} from "./world.ts";

/** A project that has just been started, with its jobs. */
export function projectWith(
  agenda: Agenda,
  random: Random,
  settings: Settings,
  specs: readonly JobSpec[],
): World {
  const world: World = {
    agenda,
    random,
    settings,
    clockOffset: 0,
    serverUp: true,
    serverStartedAt: agenda.now,
    serverUpSince: agenda.now,
    cutOff: false,
    statsVisible: true,
    settingsVisible: true,
    jobs: new Map(),
    nextJobId: 1,
    rows: [],
    sequence: 0,
    launcher: {
      up: false,
      visible: false,
      startedAt: 0,
      broken: null,
      stalledUntil: 0,
      lastMinute: 0,
      stale: true,
      rebooted: false,
      tasks: new Map(),
      running: 0,
      wake: 0,
      idle: [],
    },
    truths: new Map(),
    injections: [],
    runsStarted: 0,
    undone: [],
    clockFaults: [],
    hidden: [],
    zoneChangedAt: 0,
    purgedUntil: 0,
    minuteWatch: null,
    events: new Map(),
  };
  for (const spec of specs) addJob(world, spec);
  startLauncher(world);
  watchMinutes(world);
  return world;
}

/** `cron.schedule`. */
export function addJob(world: World, spec: JobSpec, name = spec.named ? spec.id : null): StoredJob {
  const jobId = world.nextJobId++;
  const truth = truthOf(world, name ?? `job ${jobId}`);
  truth.activeSince = clockOf(world);
  const { schedule } = spec;
  const parsed = parse(world, schedule);
  const job: StoredJob = {
    jobId,
    jobName: name,
    schedule,
    parsed,
    command: "select 1",
    active: true,
    edits: 0,
    spec,
    truth,
    createdAt: world.agenda.now,
  };
  world.jobs.set(jobId, job);
  jobsChanged(world);
  return job;
}

function parse(world: World, schedule: string) {
  return parseSchedule(schedule, { pgCronVersion: world.settings.pgCronVersion });
}

/** `cron.unschedule`. */
export function removeJob(world: World, job: StoredJob): void {
  world.jobs.delete(job.jobId);
  endOfTruth(world, job);
  jobsChanged(world);
}

/** `cron.alter_job(active := …)`. */
export function setActive(world: World, job: StoredJob, active: boolean): void {
  if (job.active === active) return;
  job.active = active;
  job.edits++;
  job.truth.activeSince = clockOf(world);
  jobsChanged(world);
}

/** `cron.alter_job(schedule := …)`. */
export function reschedule(world: World, job: StoredJob, schedule: string): void {
  job.schedule = schedule;
  job.edits++;
  job.parsed = parse(world, schedule);
  job.truth.activeSince = clockOf(world);
  jobsChanged(world);
}

/** An update of `cron.job.jobname`: for the inventory one job goes and another one comes. */
export function rename(world: World, job: StoredJob, name: string): void {
  const before = job.truth;
  const truth = truthOf(world, name);
  truth.activeSince = clockOf(world);
  truth.current = before.current;
  truth.spans = before.spans;
  before.current = null;
  job.jobName = name;
  job.edits++;
  job.truth = truth;
  jobsChanged(world);
}

function endOfTruth(world: World, job: StoredJob): void {
  const last = world.launcher.tasks.get(job.jobId)?.span;
  if (last !== null && last !== undefined) job.truth.current = null;
}

/** The project's clock is set. */
export function setClock(world: World, offset: number): void {
  const before = clockOf(world);
  const back = world.clockOffset - offset;
  noteEvent(world, Math.abs(back) > 5 * MINUTE ? "clock set far" : "clock set right");
  world.clockOffset = offset;
  // pg_cron does nothing until a clock that was set back has caught up
  if (back > 30 * SECOND && world.launcher.up) {
    world.launcher.idle.push({ from: world.agenda.now, until: world.agenda.now + back + MINUTE });
  }
  watchMinutes(world, before);
  if (world.launcher.up) planWake(world);
}

/** Asks at each full minute of the project's clock which jobs are due, whatever the launcher does. */
function watchMinutes(world: World, before = clockOf(world)): void {
  const turn = {};
  world.minuteWatch = turn;
  const now = clockOf(world);
  let last = minuteOf(before);
  // a clock set back a little shows minutes again that it has shown; set far, it begins anew
  if (Math.abs(now - before) > 5 * MINUTE) last = minuteOf(now);
  const next = () => {
    if (world.minuteWatch !== turn) return;
    const current = minuteOf(clockOf(world));
    for (let minute = last + MINUTE; minute <= current; minute += MINUTE) noteSlots(world, minute);
    last = Math.max(last, current);
    const upcoming = minuteOf(clockOf(world)) + MINUTE;
    world.agenda.at(upcoming - world.clockOffset, next);
  };
  next();
}

function noteSlots(world: World, minute: number): void {
  const clock = wallClock(world.settings.timeZone, minute);
  for (const job of world.jobs.values()) {
    if (!job.active || job.parsed.kind !== "cron") continue;
    if (!shouldRun(job.parsed, clock, { wild: true, fixed: true })) continue;
    job.truth.unmet.set(minute, {
      at: minute,
      dueAt: world.agenda.now,
      startedAt: null,
      overlapped: job.truth.current !== null,
      skippedBy: null,
    });
  }
}

/** What a start of the server can change, and how the one before ended. */
export interface Restart {
  downMs: number;
  /** Sessions are ended in order, and say so. */
  orderly: boolean;
  settings?: Partial<Settings>;
  /** Done while the server is down. */
  meanwhile?: () => void;
}

/** The server goes down and comes back. */
export function restartServer(world: World, { downMs, orderly, settings, meanwhile }: Restart): void {
  if (!world.serverUp) return;
  noteEvent(world, orderly ? "restart in order" : "crash of the server");
  if (orderly) endSessions(world);
  stopLauncher(world);
  world.serverUp = false;
  world.agenda.at(world.agenda.now + downMs, () => {
    if ((settings?.timeZone ?? world.settings.timeZone) !== world.settings.timeZone) {
      world.zoneChangedAt = world.agenda.now;
    }
    Object.assign(world.settings, settings);
    for (const job of world.jobs.values()) job.parsed = parse(world, job.schedule);
    meanwhile?.();
    world.serverUp = true;
    world.serverStartedAt = clockOf(world);
    world.serverUpSince = world.agenda.now;
    // after a crash a sequence goes on behind what it had fetched ahead
    if (!orderly) world.sequence += world.random.whole(0, 32);
    world.agenda.at(world.agenda.now + world.random.between(50, 3 * SECOND), () => {
      if (!world.launcher.up && world.launcher.broken === null) startLauncher(world);
    });
  });
}

function endSessions(world: World): void {
  for (const task of world.launcher.tasks.values()) {
    if (task.state !== "running" || task.row === null || world.random.chance(0.4)) continue;
    task.row.status = "failed";
    task.row.message = "FATAL: terminating connection due to administrator command";
    task.row.endedAt = clockOf(world);
    task.row.overAt = world.agenda.now;
    if (task.span !== null) task.span.endedAt = task.row.endedAt;
    const truth = world.jobs.get(task.jobId)?.truth;
    if (truth !== undefined) noteFailure(world, truth, null);
  }
}

/**
 * The launcher cannot do its work until it is mended. A missing role ends it each second, after it has marked the rows
 * that it finds in progress; where the library is no longer loaded, there is none after a restart, nor are its settings.
 */
export function breakLauncher(world: World, until: number, how: "crash loop" | "not loaded"): void {
  noteEvent(world, `launcher gone: ${how}`);
  world.launcher.broken = how;
  const mend = () => {
    if (how === "not loaded") restartServer(world, { downMs: 4 * SECOND, orderly: true });
    world.launcher.broken = null;
    if (world.serverUp && !world.launcher.up) startLauncher(world);
  };
  if (how === "not loaded") restartServer(world, { downMs: 4 * SECOND, orderly: true });
  else {
    if (world.launcher.up) stopLauncher(world);
    world.agenda.at(world.agenda.now + SECOND, () => markPendingRunsAsFailed(world));
  }
  world.agenda.at(until, mend);
}

/** An error of its own, or somebody ended its session: it is back in a second. */
export function failLauncher(world: World): void {
  if (!world.launcher.up) return;
  noteEvent(world, "launcher died and came back");
  crashLauncher(world);
}

/** Rows are deleted, the oldest first. */
export function purge(world: World, keepMs: number): void {
  noteEvent(world, "purge of old rows");
  const limit = world.agenda.now - keepMs;
  world.purgedUntil = Math.max(world.purgedUntil, limit);
  world.rows = world.rows.filter((row) => row.insertedAt >= limit);
}

/** Rows are deleted by what they say, as jobs that people write for it do, too. */
export function purgeSome(world: World, which: "successes" | "all but the newest of each job"): void {
  noteEvent(world, `purge of ${which}`);
  world.purgedUntil = world.agenda.now;
  const newest = new Map(world.rows.map((row) => [row.jobId, row]));
  world.rows = world.rows.filter((row) =>
    which === "successes" ? row.status !== "succeeded" : newest.get(row.jobId) === row
  );
}

/** What a backup holds. */
export interface Backup {
  takenAt: number;
  jobs: StoredJob[];
  nextJobId: number;
  sequence: number;
}

export function backUp(world: World): Backup {
  return {
    takenAt: world.agenda.now,
    jobs: [...world.jobs.values()].map((job) => ({ ...job })),
    nextJobId: world.nextJobId,
    sequence: world.sequence,
  };
}

/** Puts a backup in place of the tables: runs since then are gone, those in progress then are in progress again. */
export function putBack(world: World, backup: Backup): void {
  world.rows = world.rows.filter((row) => row.insertedAt <= backup.takenAt)
    .map((row) => (row.overAt ?? Infinity) > backup.takenAt ? unended(row) : row);
  world.jobs = new Map(backup.jobs.map((job) => [job.jobId, { ...job }]));
  world.nextJobId = backup.nextJobId;
  world.sequence = backup.sequence;
  noteEvent(world, "restore of a backup");
  world.undone.push({ from: backup.takenAt, until: world.agenda.now });
}

function unended(row: RunRow): RunRow {
  const status = row.startedAt === null ? "connecting" : "running";
  return { ...row, status, message: null, endedAt: null, overAt: null };
}

function minuteOf(instant: number): number {
  return Math.floor(instant / MINUTE) * MINUTE;
}
