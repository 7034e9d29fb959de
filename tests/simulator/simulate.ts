/** Runs one world with the monitor's rules looking at it, and keeps the score. */
import type { CronFacts } from "../../supabase/functions/_shared/domain/facts.ts";
import type { IncidentTransition } from "../../supabase/functions/_shared/domain/observation.ts";
import type { HubKnowledge } from "../../supabase/functions/_shared/domain/hub.ts";
import type { JobAnnotations } from "../../supabase/functions/_shared/domain/job.ts";
import {
  evaluateProject,
  evaluateUnreadable,
  type Evaluation,
} from "../../supabase/functions/_shared/rules/evaluate.ts";
import { agendaFrom } from "./agenda.ts";
import { emptyHub, record } from "./hub.ts";
import type { Injection } from "./injections.ts";
import type { JobSpec } from "./jobs.ts";
import { lookAt, type LookLimits, UNREACHABLE } from "./look.ts";
import { projectWith, purge } from "./project.ts";
import { type Random, seededRandom } from "./random.ts";
import { type Claim, faultOfClaim, faultOfEnding, holds, tells } from "./truth.ts";
import { offsetOf } from "./wall_clock.ts";
import { type Climate, planWeather, type Weather } from "./weather.ts";
import { clockOf, DAY, HOUR, MINUTE, SECOND, type Settings, type World } from "./world.ts";

/** A world to be drawn. */
export interface Plan {
  seed: number;
  /** True time, epoch milliseconds. */
  from: number;
  days: number;
  timeZone: string;
  specs: readonly JobSpec[];
  climate: Climate;
  /** Usual minutes between two looks. */
  lookEvery: number;
  /** `app_settings.alert_on_drift`. */
  alertOnDrift: boolean;
  /** Called at each look with what it came to: for whoever wants to know why. */
  onLook?: (seen: Seen) => void;
}

/** One look and its evaluation. */
export interface Seen {
  /** The hub's clock. */
  now: number;
  facts: CronFacts | null;
  evaluation: Evaluation;
  /** Jobs' names by inventory id. */
  names: ReadonlyMap<string, string>;
}

/** An alarm without a reason, or a fault that was not told. */
export interface Finding {
  at: number;
  kind: "false alarm" | "false recovery" | "told late" | "not found";
  what: string;
}

/** What a world came to. */
export interface Score {
  seed: number;
  days: number;
  jobs: number;
  looks: number;
  unread: number;
  runs: number;
  /** Incidents opened with a severity that is sent: by severity. */
  alarms: Map<string, number>;
  /** Incidents that were said to be over. */
  endings: number;
  findings: Finding[];
  /** Misses during something that was taken back between two looks, so that no fact shows it: by what it was. */
  unknowable: Map<string, number>;
  /** Every fault that a look could have seen. */
  faults: Injection[];
  /** Those that were over, or hidden by something else, before any look could see them: by kind. */
  unobservable: Map<string, number>;
  /** What else happened, and how often. */
  events: Map<string, number>;
  /** Times at which the wall clock of the schedules jumped. */
  clockChanges: number;
  /** By kind: how long after it began, and after it could be known, each was told. Milliseconds. */
  latencies: Map<string, { sinceBegin: number[]; sinceKnowable: number[] }>;
}

const PROJECT = { name: "simulated", ref: null };
const LIMITS: LookLimits = { firstRuns: 1_000, lookBackRuns: 20_000, pageRuns: 5_000, pages: 10 };
const SETTLE_MS = 2 * HOUR;

interface Simulation {
  world: World;
  hub: HubKnowledge;
  plan: Plan;
  random: Random;
  weather: Weather;
  score: Score;
  nextId: number;
  specs: ReadonlyMap<string, JobSpec>;
  /** True time of the looks that saw the project. */
  looks: number[];
  /** Jobs by name, as the looks before saw them last. */
  shown: Map<string, ShownJob>;
}

/** Lets a world run its time. */
export function simulate(plan: Plan): Score {
  const random = seededRandom(plan.seed);
  const agenda = agendaFrom(plan.from);
  const until = plan.from + plan.days * DAY;
  const world = projectWith(agenda, random, settingsOf(plan, random), plan.specs);
  world.statsVisible = random.chance(0.75);
  const weather = planWeather(world, plan.specs, plan.climate, plan.from + SETTLE_MS, until);
  const simulation: Simulation = {
    world,
    hub: emptyHub(plan.alertOnDrift),
    plan,
    // looks draw from a source of their own, so that the rules cannot change the world
    random: seededRandom(plan.seed + 1),
    weather,
    score: {
      seed: plan.seed,
      days: plan.days,
      jobs: plan.specs.length,
      looks: 0,
      unread: 0,
      runs: 0,
      alarms: new Map(),
      endings: 0,
      findings: [],
      unknowable: new Map(),
      faults: [],
      unobservable: new Map(),
      events: world.events,
      clockChanges: clockChangesOf(plan.timeZone, plan.from, until),
      latencies: new Map(),
    },
    nextId: 0,
    specs: new Map(plan.specs.map((spec) => [spec.id, spec])),
    looks: [],
    shown: new Map(),
  };
  planLooks(simulation, plan.from + random.between(MINUTE, 20 * MINUTE));
  planPurges(world);
  agenda.runUntil(until);
  return conclude(simulation);
}

function settingsOf(plan: Plan, random: Random): Settings {
  const backgroundWorkers = random.chance(0.25);
  return {
    timeZone: plan.timeZone,
    logRun: true,
    maxRunningJobs: backgroundWorkers ? random.pick([3, 5, 8]) : random.pick([32, 32, 6]),
    pgCronVersion: random.chance(0.8) ? "1.6" : "1.5",
    backgroundWorkers,
  };
}

/** Old rows go, as a job that people write for it does; the simulator's memory is bounded by it too. */
function planPurges(world: World): void {
  world.agenda.at(world.agenda.now + 12 * HOUR, () => {
    purge(world, 4 * DAY);
    for (const truth of world.truths.values()) {
      for (const at of truth.unmet.keys()) if (at < clockOf(world) - 40 * DAY) truth.unmet.delete(at);
      if (truth.late.length > 2_000) truth.late.splice(0, 1_000);
    }
    planPurges(world);
  });
}

function planLooks(simulation: Simulation, time: number): void {
  const { world, random, plan, weather } = simulation;
  world.agenda.at(time, () => {
    const absent = weather.absences.some(({ from, until }) => from <= time && time < until);
    if (!absent) look(simulation);
    // people press a button now and then
    if (!absent && random.chance(0.03)) {
      world.agenda.at(time + random.between(SECOND, 5 * MINUTE), () => look(simulation));
    }
    const regular = Math.ceil((time + MINUTE) / (plan.lookEvery * MINUTE)) * plan.lookEvery * MINUTE;
    planLooks(simulation, regular + random.between(0, 50 * SECOND));
  });
}

function look(simulation: Simulation): void {
  const { world, hub, score } = simulation;
  score.looks++;
  const facts = lookAt(world, hub, LIMITS);
  if (facts === null) score.unread++;
  const now = Math.round(world.agenda.now);
  if (facts !== null) simulation.looks.push(now);
  const evaluation = facts === null
    ? evaluateUnreadable(PROJECT, UNREACHABLE, hub)
    : evaluateProject(PROJECT, facts, hub, now, () => `job ${simulation.nextId++}`);
  const names = new Map(hub.jobs.map((job) => [job.id, job.jobName]));
  for (const job of evaluation.observations.jobs ?? []) names.set(job.id, job.jobName);
  const transitions = evaluation.observations.incidents ?? [];
  simulation.plan.onLook?.({ now, facts, evaluation, names });
  for (const transition of transitions) judge(simulation, transition, names);
  if (facts !== null) judgeDrift(simulation, transitions, names);
  expect(simulation, facts, transitions, names);
  record(hub, evaluation.observations, now, (name) => notesOf(simulation, name));
}

/** What people wrote about a job, by its name: what they wrote goes with the name. */
function notesOf({ specs }: Simulation, jobName: string): Partial<JobAnnotations> {
  return specs.get(jobName)?.notes ?? {};
}

function judge(
  simulation: Simulation,
  transition: IncidentTransition,
  names: ReadonlyMap<string, string>,
): void {
  const { world, score } = simulation;
  if (transition.action === "resolve") judgeEnding(simulation, transition, names);
  if (transition.action !== "open" || transition.severity === "info") return;
  count(score.alarms, transition.severity);
  if (transition.code === "drift") return;
  const claim: Claim = {
    subject: transition.subjectKind === "project" ? "project" : "job",
    jobName: names.get(transition.subjectId) ?? null,
    code: transition.code,
    expectedAt: transition.detail.expectedAt ?? null,
    summary: transition.summary,
  };
  const fault = faultOfClaim(world, claim, notesOf(simulation, claim.jobName ?? ""));
  if (fault === null) return;
  const hidden = hiddenCause(simulation, claim);
  if (hidden !== null) {
    count(score.unknowable, hidden);
    return;
  }
  const whose = claim.jobName ?? "project";
  score.findings.push({
    at: world.agenda.now,
    kind: "false alarm",
    what: `${whose}: ${claim.code} (${transition.severity}): ${claim.summary}; but ${fault}`,
  });
}

interface ShownJob {
  present: boolean;
  schedule: string;
  active: boolean;
}

/** What people did to jobs between two looks is told by one incident each where that is wished, and nothing else is. */
function judgeDrift(
  { world, plan, score, shown }: Simulation,
  transitions: readonly IncidentTransition[],
  names: ReadonlyMap<string, string>,
): void {
  const now = new Map(
    [...world.jobs.values()].map(({ truth, schedule, active }) => [truth.name, { schedule, active }]),
  );
  const drifted = new Set<string>();
  for (const [name, before] of shown) {
    const job = now.get(name);
    const paused = job?.active === false && before.active;
    if (job === undefined ? before.present : paused || job.schedule !== before.schedule) drifted.add(name);
    if (job === undefined) before.present = false;
  }
  for (const [name, job] of now) shown.set(name, { present: true, ...job });
  const told = transitions.flatMap((one) =>
    one.action === "open" && one.code === "drift" ? [names.get(one.subjectId) ?? ""] : []
  );
  const wished = plan.alertOnDrift ? [...drifted] : [];
  const at = world.agenda.now;
  for (const _ of told) count(score.events, "drift told");
  const extra = told.filter((name, index) => !wished.includes(name) || told.indexOf(name) !== index);
  score.findings.push(
    ...extra.map((name) => ({
      at,
      kind: "false alarm" as const,
      what: `${name}: drift; but nobody touched it`,
    })),
    ...wished.filter((name) => !told.includes(name)).map((name) => ({
      at,
      kind: "not found" as const,
      what: `${name}: drift`,
    })),
  );
}

/** What is over has to be over. */
function judgeEnding(
  { world, hub, score }: Simulation,
  { id, resolution }: Extract<IncidentTransition, { action: "resolve" }>,
  names: ReadonlyMap<string, string>,
): void {
  const incident = hub.incidents.find((one) => one.id === id);
  if (incident === undefined) return;
  score.endings++;
  const { code, openedAt, detail } = incident;
  const jobName = incident.subjectKind === "job" ? names.get(incident.subjectId) ?? null : null;
  const expectedAt = detail.expectedAt ?? null;
  const fault = faultOfEnding(world, { jobName, code, resolution, openedAt, expectedAt });
  if (fault === null) return;
  const what = `${jobName ?? "project"}: ${code} has ${resolution}; but ${fault}`;
  score.findings.push({ at: world.agenda.now, kind: "false recovery", what });
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

/** What a miss fell into, where it came and went without a look at it. */
function hiddenCause({ world, looks }: Simulation, { jobName, code, expectedAt }: Claim): string | null {
  if ((code !== "missed" && code !== "never_ran") || expectedAt === null) return null;
  const slot = Date.parse(expectedAt) - world.clockOffset;
  const within = ({ from, until }: { from: number; until: number }) => from <= slot && slot <= until;
  if (world.undone.some(within)) return "restore";
  if (world.clockFaults.some(within)) return "clock";
  const found = world.hidden.find((one) =>
    (one.jobName === null || one.jobName === jobName) && one.from <= slot && slot <= one.until &&
    !looks.some((look) => one.from < look && look < one.until)
  );
  return found?.what ?? null;
}

/** Every fault that can be seen now has to be told now. */
function expect(
  simulation: Simulation,
  facts: CronFacts | null,
  transitions: readonly IncidentTransition[],
  names: ReadonlyMap<string, string>,
): void {
  const { world, hub } = simulation;
  const now = world.agenda.now;
  for (const one of simulation.weather.injections) {
    if (one.from > now || now > one.until + 2 * DAY || one.toldAt !== null) continue;
    if ((facts === null) !== (one.kind === "unreachable")) continue;
    const name = [...world.jobs.values()].find(({ spec }) => spec.id === one.specId)?.truth.name;
    const known = hub.jobs.find((job) => job.jobName === name && job.removedAt === null);
    const seenSince = known?.firstSeenAt ?? (one.specId === "" ? 0 : now);
    const holding = holds(world, one, (specId) => notesOf(simulation, specId), seenSince);
    if (holding !== null && one.held === null) one.held = { ...holding, atLook: now };
    const fresh = transitions.filter((transition) => isFresh(transition, one, hub));
    const said = sentencesAbout(simulation, one, fresh, names, hub);
    if (tells(one.kind, said)) {
      one.held ??= { since: one.from, knowable: now, atLook: now };
      one.toldAt = now;
    }
  }
}

/**
 * An older incident may say the same of something else: it tells of this fault once that can be seen. But the jobs that
 * a dead scheduler holds are those that are overdue now.
 */
function isFresh(transition: IncidentTransition, one: Injection, hub: HubKnowledge): boolean {
  if (transition.action === "open" || one.held !== null) return true;
  const about = hub.incidents.find(({ id }) => id === transition.id);
  return about?.subjectKind === "project" && (one.kind === "missed" || one.kind === "never ran");
}

function sentencesAbout(
  simulation: Simulation,
  one: Injection,
  transitions: readonly IncidentTransition[],
  names: ReadonlyMap<string, string>,
  hub: HubKnowledge,
): string[] {
  const job = [...simulation.world.jobs.values()].find(({ spec }) => spec.id === one.specId);
  const name = job?.truth.name;
  const subjects = new Map(hub.incidents.map((incident) => [incident.id, incident]));
  return transitions.flatMap((transition) => {
    if (transition.action === "resolve") return [];
    const about = transition.action === "open" ? transition : subjects.get(transition.id);
    if (about === undefined) return [];
    const ofProject = about.subjectKind === "project";
    if (transition.severity === "info") return [];
    const told = ofProject
      ? one.specId === "" || (transition.detail.heldJobs ?? []).includes(name ?? "")
      : names.get(about.subjectId) === name;
    return told ? [transition.summary, ...(transition.detail.also ?? [])] : [];
  });
}

function conclude({ world, weather, score }: Simulation): Score {
  score.runs = world.runsStarted;
  for (const one of weather.injections) {
    if (one.held === null) {
      count(score.unobservable, one.kind);
      continue;
    }
    score.faults.push(one);
    if (one.toldAt === null) {
      const since = new Date(one.held.since).toISOString();
      score.findings.push({
        at: one.held.atLook,
        kind: "not found",
        what: `${one.specId || "project"}: ${one.kind} since ${since}`,
      });
      continue;
    }
    if (one.toldAt - one.held.atLook > MINUTE) {
      const what = `${one.specId || "project"}: ${one.kind}, known at ${
        new Date(one.held.atLook).toISOString()
      }`;
      score.findings.push({ at: one.toldAt, kind: "told late", what });
    }
    const known = score.latencies.get(one.kind) ?? { sinceBegin: [], sinceKnowable: [] };
    score.latencies.set(one.kind, known);
    known.sinceBegin.push(one.toldAt - one.held.since);
    known.sinceKnowable.push(Math.max(0, one.toldAt - one.held.knowable));
  }
  return score;
}

function clockChangesOf(timeZone: string, from: number, until: number): number {
  let changes = 0;
  for (let day = from; day + DAY <= until; day += DAY) {
    if (offsetOf(timeZone, day) !== offsetOf(timeZone, day + DAY)) changes++;
  }
  return changes;
}
