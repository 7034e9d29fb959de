/** Heartbeats: jobs that run elsewhere and say so. Instants are epoch milliseconds. */
import { z } from "zod";

/** What a ping says of a run; `log` says nothing of it. */
export const pingKind = z.enum(["start", "success", "fail", "log"]);
export type PingKind = z.infer<typeof pingKind>;

/** How a run ended, in the order in which that was heard. */
export const heartbeatEnd = z.object({
  id: z.number().int(),
  /** `lost`: it never said, and another one has begun. */
  kind: z.enum(["success", "fail", "lost"]),
  /** When it had begun; `null`: that was not told. */
  startedAt: z.number().nullable(),
  endedAt: z.number(),
  exitCode: z.number().int().nullable(),
  /** What came with the ping. Untrusted. */
  body: z.string().nullable(),
});
export type HeartbeatEnd = z.infer<typeof heartbeatEnd>;

/** A heartbeat, and what was heard of it since the last look. */
export const heartbeat = z.object({
  jobName: z.string(),
  jobType: z.enum(["heartbeat", "webhook"]),
  expectedIntervalMinutes: z.number().nullable(),
  /** As in a crontab. */
  schedule: z.string().nullable(),
  timeZone: z.string(),
  graceMinutes: z.number().nullable(),
  active: z.boolean(),
  /** Whether it ever said a word. */
  pinged: z.boolean(),
  /** `job_heartbeats.last_run_at`, which a person may have set: nothing is believed that came after it. */
  lastRunAt: z.number().nullable(),
  createdAt: z.number(),
  ends: z.array(heartbeatEnd),
  /** The newest run that has begun and not ended. */
  open: z.object({ id: z.number().int(), startedAt: z.number() }).nullable(),
});
export type Heartbeat = z.infer<typeof heartbeat>;

/** What one look at the heartbeats of a project brought back. */
export const heartbeatFacts = z.object({
  /** The hub's clock. */
  now: z.number(),
  heartbeats: z.array(heartbeat),
});
export type HeartbeatFacts = z.infer<typeof heartbeatFacts> & {
  /** Most ends that were read of each: where there are as many, there may be more. */
  limit: number;
};
