/** What a check is: a pure function from all that is known of one job to a verdict, or nothing. */
import type { CronRun, CronSettings, RunSession, SuccessCheck } from "../../domain/facts.ts";
import type { CommandWarning, RecentCall } from "../../domain/http.ts";
import type { InventoryJob, JobState, OpenIncident } from "../../domain/hub.ts";
import type { IncidentDetail } from "../../domain/incident.ts";
import type { Severity } from "../../domain/job.ts";
import type { RecentRun } from "../../domain/run.ts";
import type { Schedule } from "../schedule.ts";
import type { SlotJudgement } from "../slot_judgement.ts";

/** A finished run as a check sees it. Instants are epoch milliseconds. */
export interface FinishedRun {
  status: "success" | "failed" | "unknown";
  message: string | null;
  startedAt: number | null;
  endedAt: number | null;
}

/** All that is known of one active job at one check. */
export interface JobView {
  job: InventoryJob;
  schedule: Schedule;
  settings: CronSettings;
  launcherAlive: boolean | null;
  serverStartedAt: number;
  /** The last sign of life before that: the newest time of any job's run. */
  serverDownFrom: number;
  /** The project's clock. */
  now: number;
  /** Whether the clock was far off at the last check. */
  clockWasOff: boolean;
  /** What the last check concluded; `null` at the first. */
  previous: JobState | null;
  lastFinished: FinishedRun | null;
  consecutiveFailures: number;
  lastRunAt: number | null;
  lastSuccessAt: number | null;
  /** Runs that were first seen at this check started this late: epoch milliseconds, ascending. */
  newStarts: number[];
  /** Newest last. */
  recentRuns: RecentRun[];
  slots: SlotJudgement;
  graceMinutes: number;
  /** Usual minutes between two slots; `null` where there are none. */
  intervalMinutes: number | null;
  /** The run in progress, since when (project's clock), and what its session is doing where that can be seen. */
  open: { run: CronRun; since: number; session: RunSession | "gone" | "hidden" } | null;
  /** What the job's success check answered at this look; `null`: it was not asked. */
  successCheck: SuccessCheck | null;
  /** What became of the HTTP calls of the last runs, newest last; `waiting`: some of the newest have not ended. */
  calls: { recent: RecentCall[]; waiting: boolean };
  /** What is doubtful about the command. */
  warnings: readonly CommandWarning[];
  /** Whether every slot of `cron.max_running_jobs` is taken. */
  saturated: boolean;
  /** The job's unresolved incident, so that counts and what nobody can see go on; not one that is merely degraded. */
  openOutage: Pick<OpenIncident, "code" | "detail"> | null;
}

/**
 * What is wrong with a job. An `outage` is as severe as the job; something `degraded` is told at the lowest severity
 * and leaves the job's state as its runs show it; `over` was an outage that has ended since the last check.
 */
export interface Verdict {
  code: string;
  gravity: "outage" | "degraded" | "over";
  /** The state that it puts the job into; absent: as the runs show. */
  status?: "failed" | "missed" | "unknown";
  /** Where it is another one than its gravity says. */
  severity?: Severity;
  /** It was told before, in an incident of the project or one that a person closed: no new incident. */
  told?: boolean;
  /** One sentence, safe to show. */
  summary: string;
  detail: IncidentDetail;
}

/** One kind of fault; one file each, one line in the registry. */
export interface Check {
  code: string;
  evaluate(view: JobView): Verdict | null;
}

/** Codes of verdicts that leave the job working: told at the lowest severity, in an incident of their own kind. */
const DEGRADED_CODES: ReadonlySet<string> = new Set(["overrun", "slow", "never_fires", "http_cannot_work"]);

/** Whether an incident of this code is about something `degraded`. */
export function isDegraded(code: string): boolean {
  return DEGRADED_CODES.has(code);
}
