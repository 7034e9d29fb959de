/** Asks every health check that is due, side by side with a bound. */
import type postgres from "postgres";
import { DEFAULTS, type EdgeKnowledge, type HealthAnswer } from "../_shared/domain/edge_function.ts";
import type { HubKnowledge } from "../_shared/domain/hub.ts";
import { AppError, describeError } from "../_shared/errors.ts";
import { resolveSecret } from "../_shared/hub/secrets.ts";
import { isHealthCheckDue } from "../_shared/rules/health_answers.ts";
import { askHealth } from "../_shared/sources/health_check.ts";

/** Health checks of a project that are asked at once: with three times ten seconds, 150 functions take two minutes. */
const LANES = 20;

/** What asking needs of the world. */
export interface HealthDeps {
  sql: postgres.Sql;
  config: {
    outgoingAllowedHosts: readonly string[];
    secret(name: string): string | undefined;
  };
  /** Epoch milliseconds: nothing more is asked after it. */
  deadline: number;
  now(): number;
}

/** By `jobInventoryId`, the answer of each that was asked. */
export async function askAll(
  deps: HealthDeps,
  knowledge: HubKnowledge,
  edge: EdgeKnowledge,
): Promise<Map<string, HealthAnswer>> {
  const due = knowledge.jobs.filter((job) => {
    const own = edge.functions.get(job.id);
    if (own === undefined || own.expectations.healthCheckUrl === null || job.removedAt !== null) return false;
    const schedule = job.jobType === "webhook" ? job.schedule : null;
    return isHealthCheckDue(schedule, own.health?.checkedAt ?? null, deps.now());
  });
  const answers = new Map<string, HealthAnswer>();
  const waiting = due.values();
  const lane = async () => {
    for (const { id } of waiting) {
      if (deps.now() >= deps.deadline) return;
      answers.set(id, await askOne(deps, edge, id));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return answers;
}

async function askOne({ sql, config }: HealthDeps, edge: EdgeKnowledge, id: string): Promise<HealthAnswer> {
  const { healthCheckUrl, healthCheckHeader, healthCheckBody, healthCheckTimeoutMs } =
    edge.functions.get(id)?.expectations ?? {};
  const secrets = { sql, env: config.secret };
  try {
    return await askHealth({
      url: await resolveSecret(healthCheckUrl ?? "", secrets),
      header: await headerOf(healthCheckHeader ?? null, secrets),
      contains: healthCheckBody ?? null,
      timeoutMs: healthCheckTimeoutMs ?? DEFAULTS.healthCheckTimeoutMs,
    }, { allowedHosts: config.outgoingAllowedHosts });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { kind: "refused", reason: describeError(error).message };
  }
}

/** `Name: vault:NAME`, as the table's constraint has it. */
async function headerOf(
  written: string | null,
  secrets: Parameters<typeof resolveSecret>[1],
): Promise<{ name: string; value: string } | null> {
  const [, name, reference] = /^([A-Za-z0-9-]+):\s*(\S.*)$/.exec(written ?? "") ?? [];
  if (name === undefined || reference === undefined) return null;
  return { name, value: await resolveSecret(reference, secrets) };
}
