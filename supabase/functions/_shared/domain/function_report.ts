/** Reports that projects send: the contract between `with_execution_log.ts`, a log drain, and the hub. */
import { z } from "zod";
import type { InvocationCounts } from "./edge_function.ts";

const instant = z.iso.datetime();

/** One execution as a wrapper reports it. A start without an end is reported only where it takes long. */
export const reportedExecution = z.strictObject({
  id: z.uuid(),
  /** The function's slug. */
  function: z.string().regex(/^[A-Za-z0-9][\w-]{0,127}$/, "must be a function's name"),
  status: z.enum(["running", "success", "failed"]),
  started_at: instant,
  ended_at: instant.nullable(),
  duration_ms: z.number().min(0).max(86_400_000).nullable(),
  http_status: z.int().min(100).max(599).nullable(),
  error: z.strictObject({
    name: z.string().max(200),
    message: z.string().max(2_000),
  }).nullable(),
});
export type ReportedExecution = z.infer<typeof reportedExecution>;

/** What `record-execution` takes. */
export const executionReport = z.strictObject({
  executions: z.array(reportedExecution).min(1).max(100),
});

/** Invocations of one function in one minute; its id or its name is known, often both. */
export interface DrainedMinute extends InvocationCounts {
  functionName: string | null;
  functionId: string | null;
  /** Its beginning, epoch milliseconds. */
  minute: number;
}
