/** Incidents: conditions that hold until they clear, of a subject of any kind. */
import { z } from "zod";
import { criticality, jobType, severity } from "./job.ts";
import { recentRun } from "./run.ts";

/** What an incident is about. */
export const subjectKind = z.enum(["job", "project", "channel", "metric", "hub"]);
export type SubjectKind = z.infer<typeof subjectKind>;

/** Machine-made facts that an alert tells; every key is optional because each verdict knows different ones. */
export const incidentDetail = z.object({
  /** ISO time of the slot that was not met, or of the run that failed. */
  expectedAt: z.string().nullish(),
  /** ISO time of the last run that started. */
  lastRunAt: z.string().nullish(),
  /** ISO time of the last run that succeeded. */
  lastSuccessAt: z.string().nullish(),
  /** What the job itself said, as pg_cron kept it. Untrusted and unbounded: redact and cut before showing. */
  errorMessage: z.string().nullish(),
  /** Slots missed since the job last ran. */
  missedSlots: z.number().int().nullish(),
  /** Failed runs in a row. */
  consecutiveFailures: z.number().int().nullish(),
  /** Why, where the facts show it: "the server restarted at …". */
  cause: z.string().nullish(),
  /** Newest last. */
  recentRuns: z.array(recentRun).nullish(),
  graceMinutes: z.number().nullish(),
  /** Other things that are wrong with the same job, a sentence each. */
  also: z.array(z.string()).nullish(),
  /** What the subject is called, where its id says nothing to people. */
  subjectName: z.string().nullish(),
  /** Jobs whose misses are held under this incident of their project. */
  heldJobs: z.array(z.string()).nullish(),
  /** Whatever else is worth a line, in order. */
  facts: z.array(z.object({ label: z.string(), value: z.string() })).nullish(),
});
export type IncidentDetail = z.infer<typeof incidentDetail>;

/** What is around an incident when an alert tells of it. */
export const incidentSurroundings = z.object({
  /** What discovery found different about its job since that last succeeded, newest first. */
  changes: z.array(z.object({ change: z.string(), oldValue: z.string().nullable(), noticedAt: z.string() })),
  /** Other open incidents of its project: the gravest by name, and how many there are. */
  names: z.array(z.object({ name: z.string(), code: z.string() })),
  here: z.number().int(),
  /** Open incidents of other projects. */
  elsewhere: z.number().int(),
  /** When its project was last read, where that cannot be done now; ISO 8601. */
  unreadSince: z.string().nullish(),
});

/** The job an incident is about, as an alert tells of it. */
export const incidentJob = z.object({
  jobType,
  jobName: z.string(),
  jobUser: z.string().nullable(),
  schedule: z.string().nullable(),
  description: z.string().nullable(),
  successCriteria: z.string().nullable(),
  criticality: criticality.nullable(),
  owner: z.string().nullable(),
  runbookUrl: z.string().nullable(),
});
export type IncidentJob = z.infer<typeof incidentJob>;

/** An incident as read from the hub. */
export const incident = z.object({
  id: z.string(),
  projectName: z.string(),
  /** The project's Supabase ref, for deep links; `null` where unknown. */
  projectId: z.string().nullable(),
  subjectKind,
  subjectId: z.string(),
  /** The verdict: `failed`, `missed`, `unreachable`, … */
  code: z.string(),
  severity,
  /** One sentence: what is wrong. */
  summary: z.string(),
  detail: incidentDetail,
  openedAt: z.string(),
  resolvedAt: z.string().nullable(),
  /** How it ended: `recovered`, `removed`, `paused`, `rescheduled`, `superseded`, `told` or `by hand`. */
  resolution: z.string().nullable(),
  job: incidentJob.nullable(),
  /** Only of an incident that is told by itself. */
  surroundings: incidentSurroundings.nullish(),
});
export type Incident = z.infer<typeof incident>;
