/** What the hub shows of everything at one instant. Instants are epoch milliseconds. */
import { z } from "zod";
import { criticality, jobStatus, jobType, severity } from "./job.ts";
import { recentRun } from "./run.ts";

const instant = z.number().nullable();

/** A job as it was last judged. */
export const shownJob = z.object({
  id: z.string(),
  project: z.string(),
  type: jobType,
  name: z.string(),
  user: z.string().nullable(),
  criticality: criticality.nullable(),
  status: jobStatus,
  verdict: z.string().nullable(),
  lastRunAt: instant,
  lastSuccessAt: instant,
  lastRun: recentRun.nullable(),
});
export type ShownJob = z.infer<typeof shownJob>;

/** `monitoring.status_view()`. */
export const statusView = z.object({
  at: z.number(),
  projects: z.array(z.object({
    name: z.string(),
    status: z.enum(["ok", "error", "unknown"]),
    errorCode: z.string().nullable(),
    readAt: instant,
  })),
  jobs: z.array(shownJob),
  /** Open ones, counted. */
  incidents: z.array(z.object({
    project: z.string(),
    severity,
    count: z.number(),
    acknowledged: z.number(),
  })),
  outbox: z.object({ due: z.number(), held: z.number(), unroutable: z.number(), oldestDueAt: instant }),
  deadChannels: z.number(),
  /** Our own functions: their last invocation, and the last one that saw everything. */
  functions: z.array(z.object({
    name: z.string(),
    beganAt: instant,
    status: z.string().nullable(),
    completeAt: instant,
  })),
});
export type StatusView = z.infer<typeof statusView>;

/** `monitoring.status_of_badge()`. */
export const badgeFacts = z.object({
  label: z.string(),
  /** Whether its project could be read at the last look. */
  readable: z.boolean(),
  readAt: instant,
  states: z.array(jobStatus),
});
export type BadgeFacts = z.infer<typeof badgeFacts>;
