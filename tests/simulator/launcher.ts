/**
 * pg_cron's launcher after the source of 1.6.4 (`src/pg_cron.c`): what becomes due and when, one run per job at a time,
 * places, what a stall, a restart or a changed clock does. Where a verdict looks wrong, this file is held against the
 * C source first.
 */
import {
  injectionOn,
  MINUTE,
  noteEvent,
  noteFailure,
  type RunRow,
  SECOND,
  type Slot,
  type Span,
} from "./world.ts";
import { clockOf, type StoredJob, type Task, type World } from "./world.ts";
import { outcomeOf } from "./jobs.ts";
import { shouldRun, wallClock } from "./wall_clock.ts";

/** How late a start is remarkable. */
const LATE_MS = 30 * SECOND;
/** Spans kept for a job, when more have gathered. */
const SPANS_KEPT = 30_000;

/** The launcher process begins: `PgCronLauncherMain` up to its loop. */
export function startLauncher(world: World): void {
  const { launcher } = world;
  markPendingRunsAsFailed(world);
  launcher.tasks.clear();
  launcher.running = 0;
  launcher.lastMinute = 0;
  launcher.rebooted = false;
  launcher.stale = true;
  launcher.stalledUntil = 0;
  launcher.up = true;
  launcher.visible = true;
  launcher.startedAt = world.agenda.now;
  endIdle(world);
  wake(world);
}

/** The launcher process ends: everything it had in memory is lost. Sessions that it started end by themselves. */
export function stopLauncher(world: World): void {
  const { launcher } = world;
  beginIdle(world);
  launcher.up = false;
  launcher.visible = false;
  launcher.wake++;
  for (const task of launcher.tasks.values()) {
    if (task.state !== "waiting") endSpan(world, task, "cut off");
    task.turn++;
  }
  launcher.tasks.clear();
}

/** An error ended it: the postmaster starts it again after a second, unless what broke it still does. */
export function crashLauncher(world: World): void {
  stopLauncher(world);
  world.agenda.at(world.agenda.now + SECOND + world.random.between(5, 200), () => {
    if (world.serverUp && !world.launcher.up && world.launcher.broken === null) startLauncher(world);
  });
}

/** `MarkPendingRunsAsFailed`: rows of `connecting` and `sending` stay as they are. */
export function markPendingRunsAsFailed(world: World): void {
  for (const row of recentRows(world)) {
    if (row.status !== "starting" && row.status !== "running") continue;
    row.status = "failed";
    row.message = "server restarted";
    row.overAt = world.agenda.now;
    const truth = world.jobs.get(row.jobId)?.truth;
    if (truth === undefined || truth.lastEndedAt > row.insertedAt) continue;
    noteFailure(world, truth, null);
  }
}

/** Unended rows are among the newest, except those of the longest runs. */
function recentRows(world: World): RunRow[] {
  return world.rows.filter((row) => row.overAt === null);
}

/** Nothing is done for a while (its table is locked, the machine is busy); what was started goes on. */
export function stallLauncher(world: World, until: number): void {
  noteEvent(world, "stall of the launcher");
  beginIdle(world);
  world.launcher.stalledUntil = Math.max(world.launcher.stalledUntil, until);
  world.agenda.at(until, () => {
    if (world.agenda.now < world.launcher.stalledUntil) return;
    if (world.launcher.up) endIdle(world);
    wake(world);
  });
}

function beginIdle(world: World): void {
  const last = world.launcher.idle.at(-1);
  if (last === undefined || last.until !== null) {
    world.launcher.idle.push({ from: world.agenda.now, until: null });
  }
}

function endIdle(world: World): void {
  const last = world.launcher.idle.at(-1);
  if (last !== undefined && last.until === null) last.until = world.agenda.now;
}

/** Somebody wrote to `cron.job`: the launcher notices within a second. */
export function jobsChanged(world: World): void {
  world.launcher.stale = true;
  world.agenda.at(world.agenda.now + world.random.between(0, SECOND), () => wake(world));
}

/** One turn of the main loop. */
export function wake(world: World): void {
  const { launcher } = world;
  if (!launcher.up || world.agenda.now < launcher.stalledUntil) return;
  if (launcher.stale) refreshTasks(world);
  startAllPendingRuns(world);
  manageTasks(world);
  planWake(world);
}

/** `RefreshTaskHash`. */
function refreshTasks(world: World): void {
  const { tasks } = world.launcher;
  for (const task of tasks.values()) task.active = false;
  for (const job of world.jobs.values()) {
    if (job.parsed.kind === "invalid") continue;
    let task = tasks.get(job.jobId);
    if (task === undefined) {
      task = {
        jobId: job.jobId,
        active: true,
        pending: [],
        state: "waiting",
        lastStart: clockOf(world),
        row: null,
        span: null,
        turn: 0,
      };
      tasks.set(job.jobId, task);
    }
    task.active = job.active;
  }
  world.launcher.stale = false;
}

/** `StartAllPendingRuns`. */
function startAllPendingRuns(world: World): void {
  const { launcher } = world;
  const now = clockOf(world);
  if (!launcher.rebooted) {
    for (const [task, job] of tasksWithJobs(world)) {
      if (job.parsed.kind === "reboot" && task.active) task.pending.push(null);
    }
    launcher.rebooted = true;
  }
  for (const [task, job] of tasksWithJobs(world)) {
    const { parsed } = job;
    if (parsed.kind !== "interval" || !task.active || task.pending.length > 0) continue;
    if (now - task.lastStart < parsed.seconds * SECOND) continue;
    if (injectionOn(world, job.spec.id, "missed") ?? injectionOn(world, job.spec.id, "never ran")) continue;
    task.pending.push(null);
  }
  if (launcher.lastMinute === 0) launcher.lastMinute = minuteOf(now);
  // TimestampDifference() is never negative, so that a clock set back makes the launcher wait until it has caught up
  const passed = Math.max(0, Math.floor((now - launcher.lastMinute) / MINUTE));
  if (passed === 0) return;
  startPendingRuns(world, passed, minuteOf(now));
  launcher.lastMinute = minuteOf(now);
}

/** `StartPendingRuns` for all tasks: up to 5 minutes are caught up with, up to 3 hours in part. */
function startPendingRuns(world: World, passed: number, current: number): void {
  const first = passed > 180 ? current : world.launcher.lastMinute + MINUTE;
  for (let minute = first; minute <= current; minute += MINUTE) {
    const wild = passed <= 5 || minute === current;
    const clock = wallClock(world.settings.timeZone, minute);
    for (const [task, job] of tasksWithJobs(world)) {
      if (!task.active || job.parsed.kind !== "cron") continue;
      if (!shouldRun(job.parsed, clock, { wild, fixed: true })) continue;
      const slot = job.truth.unmet.get(minute) ?? null;
      const skipped = injectionOn(world, job.spec.id, "missed") ??
        injectionOn(world, job.spec.id, "never ran");
      if (skipped === null) task.pending.push(slot);
      else if (slot !== null) slot.skippedBy = skipped;
    }
  }
}

function* tasksWithJobs(world: World): Generator<[Task, StoredJob]> {
  for (const task of world.launcher.tasks.values()) {
    const job = world.jobs.get(task.jobId);
    if (job !== undefined) yield [task, job];
  }
}

/** `ManageCronTasks`, as far as it does not wait for sessions. */
function manageTasks(world: World): void {
  const { launcher } = world;
  for (const task of launcher.tasks.values()) {
    if (!task.active) {
      if (task.state !== "waiting") cancelRun(world, task);
      dropPending(world, task);
      launcher.tasks.delete(task.jobId);
    } else if (task.state === "waiting" && task.pending.length > 0) {
      if (launcher.running >= world.settings.maxRunningJobs) noteEvent(world, "every place taken");
      else if (!startRun(world, task)) return;
    }
  }
}

function cancelRun(world: World, task: Task): void {
  if (task.row !== null) endRow(world, task.row, "failed", "job canceled");
  if (task.row !== null && task.row.startedAt === null) task.row.startedAt = task.lastStart;
  endSpan(world, task, "canceled");
  task.turn++;
  task.state = "waiting";
  world.launcher.running--;
}

/** What waited for a job that is gone or paused is no longer due. */
function dropPending(world: World, task: Task): void {
  const truth = world.jobs.get(task.jobId)?.truth;
  for (const slot of task.pending) if (slot !== null) truth?.unmet.delete(slot.at);
  task.pending = [];
}

/** Answers whether the launcher survived it. */
function startRun(world: World, task: Task): boolean {
  const { launcher, settings } = world;
  const runId = ++world.sequence;
  if (runId <= (world.rows.at(-1)?.runId ?? 0)) {
    // a duplicate key: the error ends the launcher, and with it the minute
    noteEvent(world, "run id taken twice");
    crashLauncher(world);
    return false;
  }
  const slot = task.pending.shift() ?? null;
  task.state = "starting";
  task.lastStart = clockOf(world);
  task.turn++;
  launcher.running++;
  world.runsStarted++;
  task.row = {
    runId,
    jobId: task.jobId,
    status: settings.backgroundWorkers ? "starting" : "connecting",
    message: null,
    startedAt: null,
    endedAt: null,
    pid: null,
    insertedAt: world.agenda.now,
    overAt: null,
  };
  if (settings.logRun) world.rows.push(task.row);
  const { turn } = task;
  const latency = world.random.chance(0.01) ? world.random.between(500, 8_000) : world.random.between(4, 120);
  world.agenda.at(world.agenda.now + latency, () => sendCommand(world, task, turn, slot));
  return true;
}

/** The session is there: the command is sent, and `start_time` noted. */
function sendCommand(world: World, task: Task, turn: number, slot: Slot | null): void {
  const job = world.jobs.get(task.jobId);
  if (job === undefined || task.turn !== turn || task.row === null) return;
  if (deferred(world, () => sendCommand(world, task, turn, slot))) return;
  const outcome = outcomeOf(world, job);
  const now = clockOf(world);
  if (outcome.startFails !== null) {
    // before 1.6.3 a run that could not start has neither time
    const dated = world.settings.pgCronVersion === "1.6";
    endRow(world, task.row, "failed", outcome.startFails);
    task.row.startedAt = dated ? task.lastStart : null;
    if (!dated) task.row.endedAt = null;
    const span = task.span = spanFrom(world, task, outcome);
    meet(world, job, slot, task.lastStart);
    endSpan(world, task, "failed");
    // how long it took, nobody knows then
    if (!dated) span.endedAt = null;
    nextTurn(world, task);
    return;
  }
  task.state = "running";
  task.lastStart = now;
  task.row.status = "running";
  task.row.startedAt = now;
  task.row.pid = 1_000 + (task.row.runId % 30_000);
  task.span = spanFrom(world, task, outcome);
  job.truth.current = task.span;
  meet(world, job, slot, now);
  const after = outcome.durationMs;
  world.agenda.at(
    world.agenda.now + after,
    () => finishRun(world, task, turn, outcome.message, outcome.status),
  );
}

function spanFrom(world: World, task: Task, outcome: ReturnType<typeof outcomeOf>): Span {
  const { injection, long, unmet } = outcome;
  const began = world.agenda.now;
  return {
    startedAt: task.lastStart,
    endedAt: null,
    began,
    over: null,
    outcome: null,
    injection,
    long,
    unmet,
  };
}

function meet(world: World, job: StoredJob, slot: Slot | null, startedAt: number): void {
  if (slot === null) return;
  slot.startedAt = startedAt;
  if (startedAt - slot.at > LATE_MS) {
    noteEvent(world, slot.overlapped ? "run queued behind the one before" : "run started late");
    job.truth.late.push(slot);
  }
  job.truth.unmet.delete(slot.at);
}

function finishRun(
  world: World,
  task: Task,
  turn: number,
  message: string,
  status: "succeeded" | "failed",
): void {
  if (task.turn !== turn || task.row === null) return;
  if (deferred(world, () => finishRun(world, task, turn, message, status))) return;
  endRow(world, task.row, status, message);
  endSpan(world, task, status === "failed" ? "failed" : "success");
  nextTurn(world, task);
}

/** While the launcher is stalled it notices nothing. */
function deferred(world: World, action: () => void): boolean {
  const { stalledUntil } = world.launcher;
  if (world.agenda.now >= stalledUntil) return false;
  world.agenda.at(stalledUntil, action);
  return true;
}

function nextTurn(world: World, task: Task): void {
  task.turn++;
  task.state = "waiting";
  world.launcher.running--;
  world.agenda.at(world.agenda.now + world.random.between(0, 3), () => wake(world));
}

function endRow(world: World, row: RunRow, status: "succeeded" | "failed", message: string): void {
  row.status = status;
  row.message = message;
  row.endedAt = clockOf(world);
  row.overAt = world.agenda.now;
}

function endSpan(world: World, task: Task, outcome: NonNullable<Span["outcome"]>): void {
  const truth = world.jobs.get(task.jobId)?.truth;
  const span = task.span;
  task.span = null;
  if (truth === undefined) return;
  truth.current = null;
  if (outcome === "cut off") {
    // the row says how it ended once a launcher is there again
    if (span !== null) truth.spans.push({ ...span, outcome, over: world.agenda.now });
    return;
  }
  // nobody can know how a run ended that leaves no trace
  if (!world.settings.logRun) return;
  if (outcome === "failed") noteFailure(world, truth, null);
  if (outcome === "success") truth.failedAt = [];
  truth.lastOutcome = outcome;
  truth.lastEndedAt = world.agenda.now;
  if (!truth.lastUnmet) truth.unmetSince = world.agenda.now;
  truth.lastUnmet = span?.unmet ?? false;
  truth.lastInjection = span?.injection ?? null;
  if (span === null) return;
  span.endedAt = clockOf(world);
  span.over = world.agenda.now;
  span.outcome = outcome;
  truth.spans.push(span);
  if (truth.spans.length > 2 * SPANS_KEPT) {
    truth.forgottenUntil = truth.spans.splice(0, SPANS_KEPT).at(-1)?.startedAt ?? 0;
  }
}

/** Wakes at the next full minute of the project's clock, or when a job of `N seconds` is due. */
export function planWake(world: World): void {
  const { launcher } = world;
  const now = clockOf(world);
  let next = minuteOf(now) + MINUTE;
  for (const [task, job] of tasksWithJobs(world)) {
    if (job.parsed.kind !== "interval" || task.pending.length > 0 || !task.active) continue;
    const due = task.lastStart + job.parsed.seconds * SECOND;
    // one that is kept from starting is asked again in a second
    next = Math.min(next, due > now ? due : now + SECOND);
  }
  const turn = ++launcher.wake;
  world.agenda.at(next - world.clockOffset + world.random.between(0, 15), () => {
    if (launcher.wake === turn) wake(world);
  });
}

function minuteOf(instant: number): number {
  return Math.floor(instant / MINUTE) * MINUTE;
}
