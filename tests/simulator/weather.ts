/** What happens to a project besides its jobs: drawn at random, written into its agenda before it begins. */
import { type Injection, injection, type InjectionKind } from "./injections.ts";
import { faultsOf, type JobSpec } from "./jobs.ts";
import { stallLauncher } from "./launcher.ts";
import {
  addJob,
  type Backup,
  backUp,
  breakLauncher,
  failLauncher,
  purge,
  purgeSome,
  putBack,
  removeJob,
  rename,
  reschedule,
  type Restart,
  restartServer,
  setActive,
  setClock,
} from "./project.ts";
import { DAY, HOUR, MINUTE, noteEvent, SECOND, type StoredJob, type World } from "./world.ts";
import { parseSchedule, typicalIntervalMinutes } from "../../supabase/functions/_shared/rules/schedule.ts";

/** How often a year each thing happens. */
export interface Climate {
  shortStalls: number;
  stalls: number;
  longStalls: number;
  restarts: number;
  launcherErrors: number;
  clockSteps: number;
  clockFaults: number;
  edits: number;
  restores: number;
  purges: number;
  /** Deletions of rows by what they say. */
  cleanings: number;
  silences: number;
  /** Times without the privilege to read settings. */
  blindness: number;
  zoneChanges: number;
  absences: number;
  /** Faults injected into each job. */
  faults: number;
  /** Faults injected into the project. */
  outages: number;
  /** New jobs that never run. */
  stillbirths: number;
}

/** A rough year. */
export const ROUGH_YEAR: Climate = {
  shortStalls: 80,
  stalls: 15,
  longStalls: 3,
  restarts: 40,
  launcherErrors: 30,
  clockSteps: 200,
  clockFaults: 6,
  edits: 150,
  restores: 6,
  purges: 12,
  cleanings: 40,
  silences: 4,
  blindness: 3,
  zoneChanges: 2,
  absences: 15,
  faults: 12,
  outages: 30,
  stillbirths: 20,
};

/** What was drawn. */
export interface Weather {
  injections: Injection[];
  /** Times at which the monitor does not look; true time. */
  absences: { from: number; until: number }[];
}

/** Something that takes a while, for a job or ("*") all of the project. */
interface Occupied {
  subject: string;
  from: number;
  until: number;
}

/** Draws a project's weather between two times and plans it. */
export function planWeather(
  world: World,
  specs: readonly JobSpec[],
  climate: Climate,
  from: number,
  until: number,
): Weather {
  const sky: Sky = {
    world,
    specs,
    from,
    until,
    occupied: [],
    backups: [],
    weather: { injections: [], absences: [] },
  };
  keepBackups(sky);
  // first what puts everything in doubt, then faults in the quiet between, then what may happen at any time
  times(sky, climate.clockFaults, () => clockFault(sky));
  times(sky, climate.restores, () => restore(sky));
  times(sky, climate.silences, () => silence(sky));
  times(sky, climate.blindness, () => blindness(sky));
  times(sky, climate.zoneChanges, () => zoneChange(sky));
  times(sky, climate.purges, () => deepPurge(sky));
  times(sky, climate.cleanings, () => cleaning(sky));
  times(sky, climate.outages, () => outage(sky));
  for (const spec of specs) times(sky, climate.faults, () => fault(sky, spec));
  times(sky, climate.stillbirths, () => stillbirth(sky));
  times(sky, climate.edits, () => edit(sky));
  times(sky, climate.shortStalls, () => stall(sky, 10 * SECOND, 5 * MINUTE));
  times(sky, climate.stalls, () => stall(sky, 5 * MINUTE, 3 * HOUR));
  times(sky, climate.longStalls, () => stall(sky, 3 * HOUR, 10 * HOUR));
  times(sky, climate.restarts, () => restart(sky));
  times(sky, climate.launcherErrors, () => at(sky, anyTime(sky), () => failLauncher(world)));
  times(sky, climate.clockSteps, () => clockStep(sky));
  times(sky, climate.absences, () => absence(sky));
  return sky.weather;
}

interface Sky {
  world: World;
  specs: readonly JobSpec[];
  from: number;
  until: number;
  occupied: Occupied[];
  backups: Backup[];
  weather: Weather;
}

/** Does something as often as its rate says for the length of the world, at least by chance. */
function times(sky: Sky, perYear: number, action: () => void): void {
  const expected = perYear * (sky.until - sky.from) / (365 * DAY);
  const count = Math.floor(expected) + (sky.world.random.chance(expected % 1) ? 1 : 0);
  for (let index = 0; index < count; index++) action();
}

function anyTime(sky: Sky): number {
  return sky.world.random.between(sky.from + HOUR, sky.until - HOUR);
}

function at(sky: Sky, time: number, action: () => void): void {
  sky.world.agenda.at(time, action);
}

/** A time at which a subject is free for so long, with a margin on both sides; `null` if none was found. */
function reserve(sky: Sky, subject: string, lengthMs: number, marginMs: number): Occupied | null {
  for (let attempt = 0; attempt < 30; attempt++) {
    const from = anyTime(sky);
    const wanted = { subject, from, until: from + lengthMs };
    if (wanted.until > sky.until - HOUR || !isFree(sky, wanted, marginMs)) continue;
    sky.occupied.push({ subject, from: from - marginMs, until: wanted.until + marginMs });
    return wanted;
  }
  return null;
}

function isFree(sky: Sky, wanted: Occupied, marginMs: number): boolean {
  return !sky.occupied.some(({ subject, from, until }) =>
    (subject === wanted.subject || subject === "*" || wanted.subject === "*") &&
    from < wanted.until + marginMs && until > wanted.from - marginMs
  );
}

/** Backups of each hour, for two days. */
function keepBackups(sky: Sky): void {
  const next = () => {
    if (sky.world.serverUp) sky.backups.push(backUp(sky.world));
    if (sky.backups.length > 48) sky.backups.shift();
    sky.world.agenda.at(sky.world.agenda.now + sky.world.random.between(10 * MINUTE, HOUR), next);
  };
  if (sky.until > sky.from) next();
}

function clockFault(sky: Sky): void {
  const { random } = sky.world;
  const lasts = random.spread(2 * MINUTE, 12 * HOUR);
  const offset = random.spread(6 * MINUTE, 3 * DAY) * (random.chance(0.5) ? 1 : -1);
  const held = reserve(sky, "*", lasts, offset > 0 ? offset + 2 * HOUR : 2 * HOUR);
  if (held === null) return;
  at(sky, held.from, () => {
    setClock(sky.world, offset);
    const until = held.until + Math.max(0, offset) + 10 * MINUTE;
    sky.world.clockFaults.push({ from: held.from - Math.max(0, -offset) - 10 * MINUTE, until });
  });
  at(sky, held.until, () => setClock(sky.world, 0));
}

function clockStep(sky: Sky): void {
  const time = anyTime(sky);
  at(sky, time, () => {
    if (Math.abs(sky.world.clockOffset) > 5 * SECOND) return;
    setClock(sky.world, sky.world.random.between(-2_500, 2_500));
  });
}

function stall(sky: Sky, least: number, most: number): void {
  const lasts = sky.world.random.spread(least, most);
  at(sky, anyTime(sky), () => {
    if (sky.world.launcher.up) stallLauncher(sky.world, sky.world.agenda.now + lasts);
  });
}

function restart(sky: Sky, over: Partial<Restart> = {}, time = anyTime(sky)): void {
  const { random } = sky.world;
  const downMs = random.chance(0.7) ? random.spread(SECOND, 2 * MINUTE) : random.spread(2 * MINUTE, 5 * HOUR);
  at(sky, time, () => restartServer(sky.world, { downMs, orderly: random.chance(0.6), ...over }));
}

function restore(sky: Sky): void {
  const { random } = sky.world;
  const downMs = random.spread(MINUTE, 2 * HOUR);
  const held = reserve(sky, "*", downMs, 2 * DAY);
  if (held === null) return;
  const back = random.spread(10 * MINUTE, DAY);
  // a dump restored by hand can leave the sequence behind the rows
  const behind = random.chance(0.25) ? random.whole(1, 40) : 0;
  restart(sky, {
    downMs,
    orderly: true,
    meanwhile: () => {
      const backup = sky.backups.findLast(({ takenAt }) => takenAt <= held.from - back) ?? sky.backups[0];
      if (backup === undefined) return;
      putBack(sky.world, backup);
      sky.world.sequence -= behind;
    },
  }, held.from);
}

function silence(sky: Sky): void {
  const lasts = sky.world.random.spread(10 * MINUTE, 2 * DAY);
  const held = reserve(sky, "*", lasts, 3 * HOUR);
  if (held === null) return;
  const downMs = 5 * SECOND;
  at(sky, held.from, () => noteEvent(sky.world, "cron.log_run off"));
  restart(sky, { downMs, orderly: true, settings: { logRun: false } }, held.from);
  restart(sky, { downMs, orderly: true, settings: { logRun: true } }, held.until);
  const hidden = { jobName: null, what: "log_run off", from: held.from, until: held.until + downMs };
  at(sky, held.until, () => sky.world.hidden.push(hidden));
}

function blindness(sky: Sky): void {
  const held = reserve(sky, "*", sky.world.random.spread(10 * MINUTE, 2 * DAY), 3 * HOUR);
  if (held === null) return;
  const { world } = sky;
  at(sky, held.from, () => {
    noteEvent(world, "settings hidden");
    world.settingsVisible = false;
  });
  at(sky, held.until, () => world.settingsVisible = true);
  const hidden = { jobName: null, what: "settings hidden", from: held.from, until: held.until };
  at(sky, held.until, () => world.hidden.push(hidden));
}

function zoneChange(sky: Sky): void {
  const held = reserve(sky, "*", MINUTE, 3 * HOUR);
  if (held === null) return;
  const timeZone = sky.world.random.pick(["GMT", "Asia/Kathmandu", "America/St_Johns", "Europe/Berlin"]);
  at(sky, held.from, () => noteEvent(sky.world, "change of cron.timezone"));
  restart(sky, { downMs: 5 * SECOND, orderly: true, settings: { timeZone } }, held.from);
}

function deepPurge(sky: Sky): void {
  const held = reserve(sky, "*", MINUTE, 3 * HOUR);
  if (held === null) return;
  const { random } = sky.world;
  const keep = random.chance(0.4) ? 0 : random.spread(MINUTE, DAY);
  at(sky, held.from, () => purge(sky.world, keep));
}

function cleaning(sky: Sky): void {
  const held = reserve(sky, "*", MINUTE, 3 * HOUR);
  if (held === null) return;
  const which = sky.world.random.pick(["successes", "all but the newest of each job"] as const);
  at(sky, held.from, () => purgeSome(sky.world, which));
}

function absence(sky: Sky): void {
  const from = anyTime(sky);
  const until = from + sky.world.random.spread(20 * MINUTE, 3 * DAY);
  sky.weather.absences.push({ from, until });
}

function outage(sky: Sky): void {
  const { random, agenda } = sky.world;
  const kind: InjectionKind = random.pick(["scheduler down", "unreachable"]);
  const held = reserve(sky, "*", random.spread(10 * MINUTE, 6 * HOUR), 2 * HOUR);
  if (held === null) return;
  const planned = plan(sky, kind, "", held);
  at(sky, planned.from, () => {
    const how = random.chance(0.6) ? "crash loop" : "not loaded";
    if (kind === "scheduler down") breakLauncher(sky.world, planned.until, how);
    else {
      noteEvent(sky.world, "nobody can connect");
      sky.world.cutOff = true;
      agenda.at(planned.until, () => sky.world.cutOff = false);
    }
  });
}

function plan(sky: Sky, kind: InjectionKind, specId: string, { from, until }: Occupied): Injection {
  const planned = injection(kind, specId, from, until);
  sky.weather.injections.push(planned);
  const { injections } = sky.world;
  at(sky, from, () => injections.push(planned));
  at(sky, until + MINUTE, () => injections.splice(injections.indexOf(planned), 1));
  return planned;
}

function fault(sky: Sky, spec: JobSpec): void {
  const { random } = sky.world;
  const job = [...sky.world.jobs.values()].find((one) => one.spec.id === spec.id);
  const interval = job === undefined ? null : typicalIntervalMinutes(job.parsed);
  if (interval === null || spec.id === "never_fires") return;
  const [kind, least] = random.pick([...faultsOf(spec, interval * MINUTE)]);
  const lasts = least * random.between(1, 2);
  const held = reserve(sky, spec.id, lasts, Math.min(3 * interval * MINUTE, 2 * HOUR) + HOUR);
  if (held !== null) plan(sky, kind, spec.id, held);
}

/** A new job that nothing is ever started for. */
function stillbirth(sky: Sky): void {
  const { random } = sky.world;
  const schedule = random.pick(["*/10 * * * *", "12 * * * *", "25 seconds", "5 */3 * * *", "50 20 * * *"]);
  const interval = typicalIntervalMinutes(parseSchedule(schedule)) ?? 0;
  const id = `new_${sky.weather.injections.length}`;
  const held = reserve(sky, id, 2 * interval * MINUTE + 3 * HOUR, 2 * HOUR);
  if (held === null) return;
  const planned = plan(sky, "never ran", id, held);
  at(sky, planned.from, () => {
    const spec: JobSpec = { id, schedule, usual: [500, 5_000], longOneIn: 200, notes: {}, named: true };
    const job = addJob(sky.world, spec);
    at(sky, planned.until, () => removeJob(sky.world, job));
  });
}

/** A job is edited by hand, and edited back after a while. */
function edit(sky: Sky): void {
  const { random } = sky.world;
  const spec = random.pick(sky.specs);
  const lasts = random.chance(0.4) ? random.spread(SECOND, 20 * MINUTE) : random.spread(20 * MINUTE, 2 * DAY);
  const held = reserve(sky, spec.id, lasts, 3 * HOUR);
  if (held === null) return;
  const kind = random.pick(["pause", "reschedule", "unschedule", "rename", "copy"] as const);
  const job = () => [...sky.world.jobs.values()].find((one) => one.spec.id === spec.id);
  at(sky, held.from, () => {
    const found = job();
    if (found === undefined || !sky.world.serverUp) return;
    const { name } = found.truth;
    noteEvent(sky.world, `edit: ${kind}`);
    const back = EDITS[kind](sky, found);
    at(sky, held.until, () =>
      whenUp(sky.world, () => {
        back(job());
        sky.world.hidden.push({ jobName: name, what: kind, from: held.from, until: sky.world.agenda.now });
      }));
  });
}

/** People cannot edit while the server is down: they do it afterwards. */
function whenUp(world: World, action: () => void): void {
  if (world.serverUp) action();
  else world.agenda.at(world.agenda.now + MINUTE, () => whenUp(world, action));
}

type Undo = (job: StoredJob | undefined) => void;

const EDITS = {
  pause: ({ world }: Sky, job: StoredJob): Undo => {
    setActive(world, job, false);
    return (now) => now !== undefined && setActive(world, now, true);
  },
  reschedule: ({ world }: Sky, job: StoredJob): Undo => {
    reschedule(world, job, world.random.pick(["*/7 * * * *", "3 * * * *", "11 4 * * *", "40 seconds"]));
    return (now) => now !== undefined && reschedule(world, now, now.spec.schedule);
  },
  unschedule: ({ world }: Sky, job: StoredJob): Undo => {
    removeJob(world, job);
    return (now) => now === undefined && void addJob(world, job.spec);
  },
  rename: ({ world }: Sky, job: StoredJob): Undo => {
    rename(world, job, `${job.spec.id}_v${world.random.whole(2, 9)}`);
    return (now) => now !== undefined && rename(world, now, now.spec.id);
  },
  copy: ({ world }: Sky, job: StoredJob): Undo => {
    const copied = addJob(world, { ...job.spec, id: `${job.spec.id}_copy` }, `${job.spec.id}_copy`);
    return () => world.jobs.has(copied.jobId) && removeJob(world, copied);
  },
};
