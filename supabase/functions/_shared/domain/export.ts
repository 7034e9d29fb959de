/** What is told to others of runs and incidents. */
import { z } from "zod";

/** A moment in microseconds since the epoch, as text: more than a number holds exactly with nanoseconds. */
const microseconds = z.string().regex(/^\d{1,18}$/);

/** A run or missed slot, as a span. */
export const exportedRun = z.object({
  id: z.uuid(),
  cursor_at: z.string(),
  project: z.string(),
  job: z.string(),
  user: z.string().nullable(),
  type: z.string().nullable(),
  status: z.enum(["success", "failed", "missed", "unknown"]),
  error: z.string().nullable(),
  source: z.string(),
  run_id: z.number().nullable(),
  began_us: microseconds,
  ended_us: microseconds,
});
export type ExportedRun = z.infer<typeof exportedRun>;

/** An incident that is over, as a span. */
export const exportedIncident = z.object({
  id: z.uuid(),
  cursor_at: z.string(),
  project: z.string(),
  kind: z.string(),
  subject: z.string(),
  code: z.string(),
  severity: z.string(),
  summary: z.string(),
  resolution: z.string().nullable(),
  began_us: microseconds,
  ended_us: microseconds,
});
export type ExportedIncident = z.infer<typeof exportedIncident>;

/** The last run of a job, as a check-in. */
export const exportedCheckIn = z.object({
  id: z.uuid(),
  cursor_at: z.string(),
  job_id: z.uuid(),
  project: z.string(),
  job: z.string(),
  status: z.enum(["success", "failed"]),
  duration_seconds: z.number().nullable(),
  schedule: z.string().nullable(),
  time_zone: z.string().nullable(),
});
export type ExportedCheckIn = z.infer<typeof exportedCheckIn>;

/** How far an exporter has come: the row that was taken last. */
export interface Cursor {
  at: string;
  id: string;
}
