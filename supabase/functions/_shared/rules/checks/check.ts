/** What a check is: a pure function from all that is known of one job to a verdict, or nothing. */
import type { CronSettings } from "../../domain/facts.ts";
import type { InventoryJob, JobState } from "../../domain/hub.ts";
import type { IncidentDetail } from "../../domain/incident.ts";
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
  /** The project's clock. */
  now: number;
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
  /** Facts of the job's unresolved incident, so that counts go on. */
  openDetail: IncidentDetail | null;
}

/** What is wrong with a job. */
export interface Verdict {
  code: string;
  status: "failed" | "missed";
  /** One sentence, safe to show. */
  summary: string;
  detail: IncidentDetail;
}

/** One kind of fault; one file each, one line in the registry. */
export interface Check {
  code: string;
  evaluate(view: JobView): Verdict | null;
}
