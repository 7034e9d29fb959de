/** Holds what the monitor says against what is true: which alarm has a reason, which fault has to be told by now. */
import { graceMinutes } from "../../supabase/functions/_shared/rules/grace.ts";
import { typicalIntervalMinutes } from "../../supabase/functions/_shared/rules/schedule.ts";
import type { JobAnnotations } from "../../supabase/functions/_shared/domain/job.ts";
import type { Resolution } from "../../supabase/functions/_shared/domain/observation.ts";
import type { Injection } from "./injections.ts";
import {
  clockOf,
  HOUR,
  type JobTruth,
  MINUTE,
  SECOND,
  type Slot,
  type Span,
  type StoredJob,
  type World,
} from "./world.ts";

/** Two clocks, two roundings. */
const SLACK = 2 * SECOND;
/** By how much a clock is set right at most, besides its faults. */
const CLOCK_STEPS = 6 * SECOND;

/** What the monitor says of a job or of the project. */
export interface Claim {
  subject: "job" | "project";
  /** The inventory's name of the job. */
  jobName: string | null;
  code: string;
  /** ISO time that the claim is about, if it names one. */
  expectedAt: string | null;
  summary: string;
}

/** Why a claim is wrong, or `null` where it has a reason. */
export function faultOfClaim(world: World, claim: Claim, notes: Partial<JobAnnotations>): string | null {
  if (claim.subject === "project") return faultOfProjectClaim(world, claim);
  const name = claim.jobName ?? "";
  const job = jobNamed(world, name);
  const truth = world.truths.get(name);
  if (job === undefined || truth === undefined) return "there is no such job";
  switch (claim.code) {
    case "failed":
      if (truth.lastOutcome !== "failed") return `its last run was ${truth.lastOutcome}`;
      return truth.failedAt.length >= (notes.failureThreshold ?? 1)
        ? null
        : `only ${truth.failedAt.length} failures`;
    case "missed":
    case "never_ran":
      return faultOfMiss(world, job, claim, notes);
    case "stuck":
      return faultOfStuck(world, job, notes);
    case "criteria_not_met":
      return truth.lastUnmet && truth.lastOutcome === "success" ? null : "its last run was a success";
    case "overrun":
      return overrunning(world, job, -SLACK) === null ? "its runs are shorter than its interval" : null;
    case "slow":
      return slowEnough(world, truth, notes);
    case "schedule_invalid":
      return job.parsed.kind === "invalid" ? null : "its schedule is valid";
    case "never_fires":
      return job.schedule === "0 0 31 2 *" ? null : "its schedule fires";
    default:
      return `no truth is known for "${claim.code}"`;
  }
}

function faultOfProjectClaim(world: World, claim: Claim): string | null {
  const { now } = world.agenda;
  switch (claim.code) {
    case "unreachable":
      return world.serverUp && !world.cutOff ? "it can be reached" : null;
    case "log_run_off":
      return world.settings.logRun ? "runs are logged" : null;
    case "settings_hidden":
      return world.settingsVisible ? "its settings can be read" : null;
    case "clock_off":
      return Math.abs(world.clockOffset) > 5 * MINUTE - SLACK ? null : "its clock is right";
    case "saturated":
      return world.launcher.running >= world.settings.maxRunningJobs || wasIdle(world, now - SLACK, now)
        ? null
        : "there are places left";
    case "server_was_down": {
      const startedAt = world.serverStartedAt - world.clockOffset;
      return wasIdle(world, startedAt - MINUTE, startedAt + MINUTE) ? null : "the server has not been down";
    }
    case "scheduler_down": {
      const since = claim.expectedAt === null
        ? world.agenda.now
        : Date.parse(claim.expectedAt) - world.clockOffset;
      return wasIdle(world, since - 6 * MINUTE, world.agenda.now) ? null : "the launcher has worked";
    }
    default:
      return `no truth is known for "${claim.code}"`;
  }
}

/** What the monitor says is over. */
export interface Ending {
  /** `null`: of the project. */
  jobName: string | null;
  code: string;
  resolution: Resolution;
  /** True time. */
  openedAt: number;
  /** ISO time that the incident was about, if it named one; project's clock. */
  expectedAt: string | null;
}

/** Why something is not over, or not in that way; `null` where it is. */
export function faultOfEnding(world: World, ending: Ending): string | null {
  const { jobName, code, resolution } = ending;
  if (jobName === null) return resolution === "recovered" ? faultOfProjectRecovery(world, code) : null;
  const job = jobNamed(world, jobName);
  switch (resolution) {
    case "paused":
      return job?.active === false ? null : "it is not paused";
    case "removed":
      return job === undefined ? null : "it is there";
    case "rescheduled":
    case "superseded":
    case "told":
      return null;
    case "recovered": {
      const truth = world.truths.get(jobName);
      return job === undefined || truth === undefined ? null : faultOfJobRecovery(world, job, ending);
    }
  }
}

function faultOfJobRecovery(
  world: World,
  job: StoredJob,
  { code, openedAt, expectedAt }: Ending,
): string | null {
  const { truth, parsed } = job;
  const { current } = truth;
  switch (code) {
    case "stuck":
      return current !== null && current.began < openedAt && current.injection !== null
        ? "the same run is in progress"
        : null;
    case "failed":
      return truth.lastOutcome === "failed" && truth.lastEndedAt < world.agenda.now - SLACK
        ? "its last run failed"
        : null;
    case "criteria_not_met":
      return truth.lastOutcome === "success" && truth.lastUnmet &&
          truth.lastEndedAt < world.agenda.now - SLACK
        ? "its last run did not do what it is for"
        : null;
    case "missed":
    case "never_ran": {
      const due = expectedAt === null ? openedAt : Date.parse(expectedAt) - world.clockOffset;
      const ran = current !== null || truth.spans.some(({ began }) => began > due - CLOCK_STEPS);
      return ran ? null : "it has not run";
    }
    case "overrun":
      return overrunning(world, job, SLACK) === null ? null : "its runs are longer than its interval";
    case "schedule_invalid":
      return parsed.kind === "invalid" ? "its schedule is invalid" : null;
    case "never_fires":
      return parsed.warnings.some((warning) => warning.code === "never_fires")
        ? "its schedule never fires"
        : null;
    default:
      return null;
  }
}

function faultOfProjectRecovery(world: World, code: string): string | null {
  const gone = !world.launcher.up && world.serverUp && world.launcher.broken !== null;
  if (code === "scheduler_down" && gone) return "the launcher is not there";
  if (code === "unreachable" && (world.cutOff || !world.serverUp)) return "it cannot be reached";
  if (code === "clock_off" && Math.abs(world.clockOffset) > 5 * MINUTE + SLACK) return "its clock is wrong";
  if (code === "settings_hidden" && !world.settingsVisible) {
    return "its settings cannot be read";
  }
  return code === "log_run_off" && !world.settings.logRun ? "runs are not logged" : null;
}

/** Whether the launcher did nothing at some time between, true time. */
export function wasIdle(world: World, from: number, until: number): boolean {
  return world.launcher.idle.some((one) => one.from <= until && (one.until ?? Infinity) >= from);
}

/** A job by the name that the inventory gives it. */
export function jobNamed(world: World, name: string): StoredJob | undefined {
  for (const job of world.jobs.values()) {
    if (job.truth.name === name) return job;
  }
  return undefined;
}

function graceOf(job: StoredJob, notes: Partial<JobAnnotations>): number {
  const intervalMinutes = typicalIntervalMinutes(job.parsed);
  return graceMinutes({ intervalMinutes, annotatedMinutes: notes.graceMinutes ?? null }) * MINUTE;
}

function faultOfMiss(
  world: World,
  job: StoredJob,
  claim: Claim,
  notes: Partial<JobAnnotations>,
): string | null {
  const grace = graceOf(job, notes);
  if (job.parsed.kind === "interval") {
    if (claim.expectedAt !== null && slept(world, Date.parse(claim.expectedAt), grace - SLACK)) return null;
    return gapsOf(world, job, grace - SLACK).some((gap) => clockOf(world) - gap.due < 14 * 24 * HOUR)
      ? null
      : "it has started all the time";
  }
  const at = claim.expectedAt === null ? clockOf(world) : Date.parse(claim.expectedAt);
  // where a late run could stand for several slots, the monitor may name the one beside
  const near = (slot: Slot) => Math.abs(slot.at - at) <= Math.max(grace, 6 * MINUTE);
  const unmet = [...job.truth.unmet.values()].filter(near);
  const now = clockOf(world);
  if (unmet.some((slot) => now - slot.at > grace - SLACK)) return null;
  if (job.truth.late.some((slot) => near(slot) && (slot.startedAt ?? 0) - slot.at > grace - SLACK)) {
    return null;
  }
  return unmet.length > 0 ? "its slot is still within grace" : "every slot near had a run in time";
}

/** Whether the launcher did nothing for so long from a time on, whatever was edited meanwhile; project's clock. */
function slept({ clockOffset, launcher }: World, at: number, lastsMs: number): boolean {
  const from = at - clockOffset;
  return launcher.idle.some((one) => one.from <= from && (one.until ?? Infinity) >= from + lastsMs);
}

/** Times in which a job of `N seconds` should have started and did not, from when it was due; project's clock. */
function gapsOf(world: World, job: StoredJob, graceMs: number): { due: number; until: number }[] {
  if (job.parsed.kind !== "interval") return [];
  const step = job.parsed.seconds * SECOND;
  const gaps: { due: number; until: number }[] = [];
  let due = Math.max(job.truth.activeSince, job.truth.forgottenUntil) + step;
  for (const span of job.truth.spans) {
    if (span.endedAt !== null && span.endedAt < job.truth.activeSince) continue;
    if (span.startedAt - due > graceMs) gaps.push({ due, until: span.startedAt });
    // counted from the start, and a run that takes longer is followed at once
    due = Math.max(due, span.startedAt + step, span.endedAt ?? span.startedAt);
  }
  if (job.truth.current === null && job.active && clockOf(world) - due > graceMs) {
    gaps.push({ due, until: clockOf(world) });
  }
  return gaps;
}

function faultOfStuck(world: World, job: StoredJob, notes: Partial<JobAnnotations>): string | null {
  const span = job.truth.current;
  if (span === null) return "nothing of it is running";
  if (span.injection !== null) return null;
  // a stalled launcher does not notice that it is over
  if (wasIdle(world, world.agenda.now, world.agenda.now)) return null;
  const annotated = notes.maxRuntimeMinutes ?? null;
  if (annotated !== null) {
    return clockOf(world) - span.startedAt >= annotated * MINUTE - SLACK
      ? null
      : "its runtime is within what was annotated";
  }
  return "it runs as long as it sometimes does";
}

/** The last three runs, where each took longer than the interval, or `null`; one in progress counts once it does. */
function overrunning(world: World, job: StoredJob, slack: number): { since: number; third: Span } | null {
  const interval = typicalIntervalMinutes(job.parsed);
  if (interval === null) return null;
  const { current } = job.truth;
  const lasted = (span: Span) => (span.endedAt ?? clockOf(world)) - span.startedAt;
  const isLong = (span: Span) => lasted(span) > interval * MINUTE + slack;
  // how long a run would have taken that a restart cut off, nobody knows
  const spans = job.truth.spans.slice(-20).filter(({ endedAt }) => endedAt !== null);
  const last = (current === null || !isLong(current) ? spans : [...spans, current]).slice(-3);
  const [first, , third] = last;
  return first !== undefined && third !== undefined && last.every(isLong)
    ? { since: first.began, third }
    : null;
}

function slowEnough(world: World, truth: JobTruth, notes: Partial<JobAnnotations>): string | null {
  const last = truth.spans.at(-1);
  if (last === undefined || last.endedAt === null) return "it has not run";
  const lasted = last.endedAt - last.startedAt;
  const limit = notes.maxRuntimeMinutes ?? null;
  if (last.long || (limit !== null && lasted > limit * MINUTE)) return null;
  const before = truth.spans.slice(-21, -1).map(({ startedAt, endedAt }) =>
    (endedAt ?? startedAt) - startedAt
  );
  if (before.length === 20 && lasted > 2.9 * (before.sort((a, b) => a - b)[18] ?? 0)) return null;
  // a stalled launcher notes the end late
  return wasIdle(world, last.began, last.over ?? world.agenda.now)
    ? null
    : "its last run took as long as usual";
}

/** Since when a fault holds, and since when a look can know it; true time. */
export interface Holding {
  since: number;
  knowable: number;
}

/**
 * Whether an injected fault can be seen at a look now.
 *
 * @param seenSince True time of the first look at which the job was there.
 */
export function holds(
  world: World,
  one: Injection,
  notesOf: (specId: string) => Partial<JobAnnotations>,
  seenSince: number,
): Holding | null {
  const now = world.agenda.now;
  if (one.kind === "unreachable") {
    return one.from <= now && now < one.until ? { since: one.from, knowable: one.from } : null;
  }
  if (one.kind === "scheduler down") return schedulerDown(world, one, notesOf);
  const job = [...world.jobs.values()].find(({ spec }) => spec.id === one.specId);
  if (job === undefined) return null;
  const notes = notesOf(job.spec.id);
  const { truth } = job;
  switch (one.kind) {
    case "failed": {
      const ours = truth.lastOutcome === "failed" && truth.lastInjection === one;
      const [since] = truth.failedAt;
      const knowable = truth.failedAt[(notes.failureThreshold ?? 1) - 1];
      return ours && since !== undefined && knowable !== undefined && now - truth.lastEndedAt > SLACK
        ? { since, knowable }
        : null;
    }
    case "missed":
    case "never ran":
      return missing(
        world,
        job,
        one,
        graceOf(job, notes),
        // one that was unscheduled and scheduled again is judged from then on
        Math.max(seenSince, world.zoneChangedAt, world.purgedUntil, job.createdAt),
      );
    case "stuck":
      return stuck(world, job, one, notes);
    case "overrun": {
      const found = overrunning(world, job, SLACK);
      const interval = (typicalIntervalMinutes(job.parsed) ?? 0) * MINUTE;
      return found === null || found.since < one.from
        ? null
        : { since: found.since, knowable: Math.min(now, found.third.began + interval) };
    }
    case "criteria":
      return truth.lastUnmet && truth.lastInjection === one && now - truth.lastEndedAt > SLACK
        ? { since: truth.unmetSince, knowable: truth.unmetSince }
        : null;
  }
}

/** @param countsFrom True time: slots before could not be judged. */
function missing(
  world: World,
  job: StoredJob,
  one: Injection,
  grace: number,
  countsFrom: number,
): Holding | null {
  const now = clockOf(world);
  if (job.parsed.kind === "interval") {
    const step = job.parsed.seconds * SECOND;
    const gap = gapsOf(world, job, grace + SLACK).find(({ due, until }) =>
      until - world.clockOffset > one.from + step + grace + SLACK &&
      due - step - world.clockOffset < one.until
    );
    if (gap === undefined) return null;
    const since = Math.max(gap.due - world.clockOffset, one.from, countsFrom + step);
    return now - world.clockOffset > since + grace + SLACK ? { since, knowable: since + grace } : null;
  }
  for (const slot of job.truth.unmet.values()) {
    if (
      slot.skippedBy !== one || slot.overlapped || slot.dueAt <= countsFrom || now - slot.at <= grace + SLACK
    ) continue;
    return { since: slot.dueAt, knowable: slot.dueAt + grace };
  }
  return null;
}

function stuck(
  world: World,
  job: StoredJob,
  one: Injection,
  notes: Partial<JobAnnotations>,
): Holding | null {
  const span = job.truth.current;
  if (span === null || span.injection !== one) return null;
  const longest = job.truth.spans.slice(-250).reduce(
    (most, { startedAt, endedAt }) => Math.max(most, (endedAt ?? startedAt) - startedAt),
    0,
  );
  const annotated = notes.maxRuntimeMinutes ?? null;
  const limit = annotated === null ? Math.max(2 * HOUR, 2 * longest) : annotated * MINUTE;
  const knowable = span.began + limit;
  return world.agenda.now > knowable + SLACK ? { since: span.began, knowable } : null;
}

/** Three jobs had slots since, past their grace, and nothing has started. */
function schedulerDown(
  world: World,
  one: Injection,
  notesOf: (specId: string) => Partial<JobAnnotations>,
): Holding | null {
  const now = world.agenda.now;
  if (now >= one.until || world.launcher.up || !world.serverUp) return null;
  const known: number[] = [];
  for (const job of world.jobs.values()) {
    const grace = graceOf(job, notesOf(job.spec.id));
    const first = firstAfter(job, one.from + MINUTE, world);
    if (job.active && first !== null && now > first + grace + SLACK) known.push(first + grace);
  }
  const knowable = known.sort((a, b) => a - b)[2];
  return knowable === undefined ? null : { since: one.from, knowable };
}

function firstAfter(job: StoredJob, from: number, world: World): number | null {
  if (job.parsed.kind === "interval") {
    return Math.max(from, job.truth.activeSince - world.clockOffset) + job.parsed.seconds * SECOND;
  }
  let first: number | null = null;
  for (const { dueAt } of job.truth.unmet.values()) {
    if (dueAt >= from && dueAt < (first ?? Infinity)) first = dueAt;
  }
  return first;
}

const TELLING: Record<Injection["kind"], RegExp> = {
  failed: /last (?:\d+ )?runs? failed/,
  missed:
    /no run for|has never run|no job has started|pg_cron starts nothing|jobs? (?:are|is) overdue|missed runs that/,
  "never ran":
    /has never run|no run for|no job has started|pg_cron starts nothing|jobs? (?:are|is) overdue|missed runs that/,
  stuck: /longer than .*\(/,
  overrun: /and are due every/,
  criteria: /the run succeeded, but/,
  "scheduler down": /pg_cron starts nothing|launcher is not running/,
  unreachable: /Cannot connect/,
};

/** Whether one of the sentences tells a kind of fault. */
export function tells(kind: Injection["kind"], sentences: readonly string[]): boolean {
  return sentences.some((sentence) => TELLING[kind].test(sentence));
}
