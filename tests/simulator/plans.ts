/** Worlds to draw: which jobs, where, when and for how long. */
import { EVERY_JOB, SPARSE_JOBS } from "./jobs.ts";
import type { Plan } from "./simulate.ts";
import { ROUGH_YEAR } from "./weather.ts";

/** Zones of every kind: none, both hemispheres, changes by half an hour, odd quarters, and one that knows Ramadan. */
export const TIME_ZONES = [
  "GMT",
  "America/New_York",
  "Europe/Berlin",
  "Australia/Lord_Howe",
  "Asia/Kathmandu",
  "America/St_Johns",
  "Pacific/Chatham",
  "Africa/Casablanca",
] as const;

/** Months in which the clocks of these zones are changed, somewhere each. */
const SEASONS = [
  Date.UTC(2027, 2, 6),
  Date.UTC(2027, 9, 18),
  Date.UTC(2027, 2, 20),
  Date.UTC(2027, 8, 18),
] as const;

/** A month with jobs of every kind, or a year with those that run hourly or less often. */
export type PlanKind = "month" | "year";

/** A world with rough weather, by its number. */
export function planOf(kind: PlanKind, seed: number, days = kind === "month" ? 30 : 365): Plan {
  return {
    seed,
    from: SEASONS[Math.floor(seed / TIME_ZONES.length) % SEASONS.length] ?? SEASONS[0],
    days,
    timeZone: TIME_ZONES[seed % TIME_ZONES.length] ?? "GMT",
    specs: kind === "month" ? EVERY_JOB : SPARSE_JOBS,
    climate: ROUGH_YEAR,
    lookEvery: 15,
    alertOnDrift: seed % 3 === 0,
  };
}
