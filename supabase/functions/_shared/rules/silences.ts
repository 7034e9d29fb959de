/** Silences: what is not told for a while, once or on a cron schedule (usual cron rules, by croner). */
import { Cron } from "croner";
import type { PolicyIncident, Silence } from "../domain/policy.ts";
import { formatUtc } from "./text.ts";

const MINUTE_MS = 60_000;

/** A silence that holds now. */
export interface ActiveSilence {
  /** Epoch milliseconds. */
  until: number;
  /** For the row that waits: who, until when, why. */
  reason: string;
  covers(incident: Pick<PolicyIncident, "projectName" | "subjectKind" | "jobName">): boolean;
}

/** The silences that hold now, the one that ends last first; rows that make no sense are faults. */
export function activeSilences(
  silences: readonly Silence[],
  now: number,
): { active: ActiveSilence[]; faults: string[] } {
  const active: ActiveSilence[] = [];
  const faults: string[] = [];
  for (const silence of silences) {
    try {
      const until = silencedUntil(silence, now);
      if (until !== null) active.push(activeSilence(silence, until));
    } catch {
      faults.push(
        `Silence ${silence.id}: cannot read schedule "${silence.schedule}" in "${silence.timeZone}"`,
      );
    }
  }
  return { active: active.toSorted((a, b) => b.until - a.until), faults };
}

/** A time for which a silence holds; epoch milliseconds. `until` is `null` for one that nobody has ended. */
export interface SilencePeriod {
  from: number;
  until: number | null;
}

/**
 * The times at which a silence holds, from the one that holds now on, `count` at most.
 *
 * @throws what croner throws for a schedule or a time zone that it does not know.
 */
export function silencePeriods(silence: Silence, now: number, count: number): SilencePeriod[] {
  const { startsAt, endsAt, schedule, durationMinutes } = silence;
  if (endsAt !== null && now >= endsAt) return [];
  if (schedule === null || durationMinutes === null) return [{ from: startsAt, until: endsAt }];
  const duration = durationMinutes * MINUTE_MS;
  const cron = cronOf(schedule, silence.timeZone);
  const periods: SilencePeriod[] = [];
  let begin = cron.nextRun(new Date(Math.max(now, startsAt) - duration));
  while (begin !== null && periods.length < count) {
    const from = Math.max(begin.getTime(), startsAt);
    if (endsAt !== null && from >= endsAt) break;
    periods.push({ from, until: Math.min(begin.getTime() + duration, endsAt ?? Infinity) });
    begin = cron.nextRun(begin);
  }
  return periods;
}

/** What is wrong with the schedule of a silence, or `null`. */
export function silenceScheduleFault(schedule: string, timeZone: string, now: number): string | null {
  try {
    return cronOf(schedule, timeZone).nextRun(new Date(now)) === null ? "never comes" : null;
  } catch {
    return "must be five cron fields: minute hour day month weekday, such as 0 2 * * 0";
  }
}

function cronOf(schedule: string, timeZone: string): Cron {
  return new Cron(schedule, { timezone: timeZone, mode: "5-part", paused: true });
}

/**
 * When a silence that holds now ends, or `null` where it does not hold.
 *
 * @throws what croner throws for a schedule or a time zone that it does not know.
 */
export function silencedUntil(silence: Silence, now: number): number | null {
  const { startsAt, endsAt, schedule, durationMinutes } = silence;
  if (now < startsAt || (endsAt !== null && now >= endsAt)) return null;
  if (schedule === null || durationMinutes === null) return endsAt;
  const duration = durationMinutes * MINUTE_MS;
  const begun = cronOf(schedule, silence.timeZone).nextRun(new Date(now - duration))?.getTime() ?? Infinity;
  return begun > now ? null : Math.min(begun + duration, endsAt ?? Infinity);
}

/** Whether a name matches a pattern: `*` any text, `?` one character, `\` before either for itself. */
export function matchesGlob(pattern: string, name: string): boolean {
  return globOf(pattern).test(name);
}

function globOf(pattern: string): RegExp {
  const source = pattern.replace(/\\([\\*?])|[\s\S]/gu, (part, escaped: string | undefined) => {
    if (escaped !== undefined) return `\\${escaped}`;
    if (part === "*") return "[^]*";
    if (part === "?") return "[^]";
    return part.replace(/[\\^$.|+()[\]{}/-]/, "\\$&");
  });
  return new RegExp(`^${source}$`, "u");
}

function activeSilence(silence: Silence, until: number): ActiveSilence {
  const glob = globOf(silence.jobPattern);
  return {
    until,
    reason: `Silenced by ${silence.createdBy} until ${formatUtc(new Date(until))}: ${silence.reason}`,
    covers: ({ projectName, subjectKind, jobName }) => {
      // a dead channel belongs to no project, and a silence is no reason to be deaf
      if (subjectKind === "channel" || subjectKind === "hub") return false;
      if (silence.projectName !== null && silence.projectName !== projectName) return false;
      return jobName === null ? silence.jobPattern === "*" : glob.test(jobName);
    },
  };
}
