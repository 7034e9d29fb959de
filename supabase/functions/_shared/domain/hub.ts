/** What the hub knew before a look: the other input of every judgement. Instants are epoch milliseconds. */
import type { AlertRoute } from "./delivery.ts";
import type { JobAnnotations, JobStatus, JobType, Severity } from "./job.ts";
import type { IncidentDetail, SubjectKind } from "./incident.ts";
import type { HttpReading, RecentCall } from "./http.ts";
import type { RecentRun } from "./run.ts";

/** A row of the inventory. */
export interface InventoryJob extends JobAnnotations {
  id: string;
  jobType: JobType;
  jobName: string;
  jobUser: string | null;
  jobId: number | null;
  schedule: string | null;
  command: string | null;
  active: boolean;
  firstSeenAt: number;
  removedAt: number | null;
}

/** What the last check concluded about a job. */
export interface JobState {
  jobInventoryId: string;
  status: JobStatus;
  verdict: string | null;
  summary: string | null;
  /** The schedule that `slotsSince` and `judgedUntil` belong to. */
  schedule: string | null;
  slotsSince: number | null;
  judgedUntil: number | null;
  lastRunAt: number | null;
  lastSuccessAt: number | null;
  consecutiveFailures: number;
  recentRuns: RecentRun[];
  /** Absent: it makes none that could be seen. */
  recentCalls?: RecentCall[];
  /** Absent: not seen yet, or edited since the look before. */
  rowSeen?: RowSeen | null;
}

/** A job's row in `cron.job` as a look saw it. */
export interface RowSeen {
  version: string;
  /** Epoch milliseconds, by the project's clock. */
  at: number;
}

/** A run to be read again: it had not ended when last read, or it was the newest. */
export interface OpenRun {
  runId: number;
  firstSeenAt: number;
}

/** An unresolved incident, as far as judging needs it. */
export interface OpenIncident {
  id: string;
  subjectKind: SubjectKind;
  subjectId: string;
  code: string;
  severity: Severity;
  summary: string;
  detail: IncidentDetail;
  openedAt: number;
}

/** Everything the hub knows of one project. */
export interface HubKnowledge {
  projectName: string;
  version: number;
  runCursor: number | null;
  /** Whether the last look already found no launcher of pg_cron. */
  launcherWasMissing: boolean;
  /** `cron.timezone` at the last look; `null` where there was none, or nobody could say. */
  timeZone: string | null;
  openRuns: OpenRun[];
  /** Absent: no look has asked yet. */
  http?: HttpReading;
  jobs: InventoryJob[];
  /** By `jobInventoryId`. */
  states: Map<string, JobState>;
  incidents: OpenIncident[];
  alertConfigs: AlertRoute[];
  /** Whether people want to be told when a job is edited. */
  alertOnDrift: boolean;
}
