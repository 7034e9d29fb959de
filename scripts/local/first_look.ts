/** The loop, once: discover, check, deliver, each through the deployed function, as a person would call it. */
import { z } from "zod";
import { annotateDemoJobs } from "./hub_settings.ts";
import { type Stack, type StackOptions, withClient } from "./stack.ts";

const counts = {
  jobs: z.number().int(),
  healthy: z.number().int(),
  failed: z.number().int(),
  missed: z.number().int(),
  unknown: z.number().int(),
  paused: z.number().int(),
};

const projectReport = z.object({
  project: z.string(),
  status: z.enum(["ok", "error"]),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  ...counts,
});
export type ProjectReport = z.infer<typeof projectReport>;

const discoveryAnswer = z.object({ ok: z.literal(true) });
const checkAnswer = z.object({ ok: z.literal(true), projects: z.array(projectReport), ...counts });
const deliveryAnswer = z.object({
  ok: z.literal(true),
  sent: z.number().int(),
  retried: z.number().int(),
  failed: z.number().int(),
  unroutable: z.number().int(),
});

/** The answer of a check, as far as the stack shows it. */
export type CheckAnswer = z.infer<typeof checkAnswer>;

/** What became of the alerts. */
export interface DeliveryOutcome {
  sent: number;
  /** Sentences about alerts that were not delivered. */
  faults: string[];
  /** Incidents that are unresolved now. */
  openIncidents: number;
}

/** Longest wait for a function, in milliseconds: more than the gateway's. */
const CALL_TIMEOUT_MS = 160_000;

/** A function answered with an error, or not as agreed. */
export class FunctionCallError extends Error {
  constructor(name: string, reason: string) {
    super(`Cannot finish "${name}": ${reason}`);
    this.name = "FunctionCallError";
  }
}

/** Minutes since the hub last checked, in an earlier stack; `null` if it never has. */
export async function minutesSinceLastCheck({ info }: Stack): Promise<number | null> {
  return await withClient(info.hub_db_url, async (sql) => {
    const [row] = await sql<{ minutes: number | null }[]>`
      select extract(epoch from now() - max(ended_at))::float8 / 60 as minutes
      from public.check_runs where function_name = 'check-job-health'`;
    return row?.minutes ?? null;
  });
}

/** Discovers every project's jobs, then annotates some of the demo's. */
export async function discover({ info }: Stack, { jobs }: StackOptions): Promise<void> {
  await callFunction(info, "discover-jobs", discoveryAnswer);
  if (jobs === "demo") await withClient(info.hub_db_url, annotateDemoJobs);
}

/** Checks every project. */
export async function check({ info }: Stack): Promise<CheckAnswer> {
  return await callFunction(info, "check-job-health", checkAnswer);
}

/** Delivers what is due; one call drains the outbox. */
export async function deliver({ info }: Stack): Promise<DeliveryOutcome> {
  const answer = await callFunction(info, "send-alert", deliveryAnswer);
  const openIncidents = await withClient(info.hub_db_url, async (sql) => {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::integer as count from public.incidents where resolved_at is null`;
    return row?.count ?? 0;
  });
  return { sent: answer.sent, faults: deliveryFaults(answer), openIncidents };
}

function deliveryFaults({ retried, failed, unroutable }: z.infer<typeof deliveryAnswer>): string[] {
  return [
    ...(retried > 0 ? [`${retried} alerts could not be delivered yet and will be tried again`] : []),
    ...(failed > 0 ? [`${failed} alerts were refused for good`] : []),
    ...(unroutable > 0 ? [`${unroutable} alerts have no channel in alert_config`] : []),
  ];
}

async function callFunction<T>(
  { functions_url, secret_key }: Stack["info"],
  name: string,
  answer: z.ZodType<T>,
): Promise<T> {
  const response = await fetch(`${functions_url}/${name}`, {
    method: "POST",
    headers: { apikey: secret_key, "content-type": "application/json" },
    body: "{}",
    signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new FunctionCallError(name, `it answered ${response.status}: ${text.slice(0, 500)}`);
  }
  const parsed = answer.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new FunctionCallError(name, `unexpected answer, ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
