/** Observations: what one producer saw of one project and decided, ready to be recorded in one transaction. */
import type { JobStatus, JobType, Severity } from "./job.ts";
import type { CommandWarning, HttpAnswers, HttpQueue, HttpReading } from "./http.ts";
import type { IncidentDetail, SubjectKind } from "./incident.ts";
import type { ChannelName } from "./delivery.ts";
import type { JobState, OpenRun } from "./hub.ts";
import type { RunStatus } from "./run.ts";

/** A job as the project shows it now. Annotations are not in here, so nothing can overwrite them. */
export interface ObservedJob {
  id: string;
  jobType: JobType;
  jobName: string;
  jobUser: string | null;
  jobId: number | null;
  schedule: string | null;
  /** Redacted. */
  command: string | null;
  active: boolean;
  /** Of its row in `cron.job`; absent: it has none. */
  rowVersion?: string;
  expectedIntervalMinutes: number | null;
  /** What is doubtful about the HTTP calls in its command; absent: nothing to say of it. */
  warnings?: CommandWarning[];
}

/** What can be different about a job. */
export type ChangeKind =
  | "added"
  | "removed"
  | "returned"
  | "paused"
  | "resumed"
  | "schedule"
  | "command"
  | "job_id"
  | "version"
  | "status";

/** A difference that discovery found. */
export interface InventoryChange {
  jobInventoryId: string;
  jobType: JobType;
  jobName: string;
  change: ChangeKind;
  oldValue: string | null;
  newValue: string | null;
}

/** A run that ended, or a slot without one: a row of `job_health_log`. */
export interface LoggedRun {
  jobInventoryId: string;
  status: RunStatus;
  errorMessage: string | null;
  /** Epoch ms: start of the run, or the slot. */
  runAt: number | null;
  runId: number | null;
  durationMs: number | null;
  source: string;
}

/** One message to owe, or why none can be sent. */
export type OwedDelivery =
  | { state: "due"; channel: ChannelName; alertConfigId: string }
  | { state: "unroutable"; lastError: string };

/** How an incident ended. */
export type Resolution = "recovered" | "removed" | "paused" | "rescheduled" | "superseded" | "told";

/** A transition of an incident. */
export type IncidentTransition =
  | {
    action: "open";
    subjectKind: SubjectKind;
    subjectId: string;
    jobInventoryId: string | null;
    code: string;
    severity: Severity;
    summary: string;
    detail: IncidentDetail;
    /** Set where it was over before anybody could be told: recorded as resolved at once, and told once. */
    resolution?: Resolution;
    deliveries: OwedDelivery[];
  }
  | { action: "update"; id: string; severity: Severity; summary: string; detail: IncidentDetail }
  | {
    action: "resolve";
    id: string;
    resolution: Resolution;
    detail: IncidentDetail;
    deliveries: OwedDelivery[];
  };

/** What one look saw of a project's pg_net. */
export interface ObservedHttp {
  reading: HttpReading;
  queue: HttpQueue | null;
  lastHour: HttpAnswers | null;
  /** Whether `install_http_calls.sql` was run there. */
  callsKept: boolean;
  /** Names under which calls were made that belong to no job. */
  strangers: string[];
  /** SQLSTATE of what could not be read. */
  errors: string[];
}

/** What was learned of the project itself. */
export type ObservedProject =
  | {
    status: "ok";
    runCursor: number | null;
    openRuns: OpenRun[];
    settings: Record<string, string | number | boolean | null>;
    clockOffsetMs: number;
    /** pg_net there, and where reading of calls goes on. */
    http?: ObservedHttp;
  }
  | { status: "error"; errorCode: string; errorMessage: string };

/** Everything one producer records of one project. Absent lists mean "nothing to say of it". */
export interface Observations {
  projectName: string;
  projectRef: string | null;
  /** `project_state.version` as it was when the producer read; recording is refused when it has moved. */
  expectedVersion: number;
  project?: ObservedProject;
  jobs?: ObservedJob[];
  /** Inventory ids of jobs that are gone. */
  removed?: string[];
  changes?: InventoryChange[];
  runs?: LoggedRun[];
  states?: JobState[];
  incidents?: IncidentTransition[];
}

/** How many jobs are in which state. */
export type StatusCounts = Record<JobStatus, number> & { jobs: number };
