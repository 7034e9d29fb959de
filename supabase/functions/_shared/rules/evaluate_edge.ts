/** Judges a project's edge functions and webhooks: facts and what the hub knew → observations. Pure: no clock, no I/O. */
import {
  type EdgeFacts,
  type EdgeKnowledge,
  type FunctionKnowledge,
  type JudgedHealthCheck,
  NO_EXPECTATIONS,
} from "../domain/edge_function.ts";
import type { HubKnowledge, InventoryJob } from "../domain/hub.ts";
import { UNANNOTATED } from "../domain/job.ts";
import type { IncidentTransition, Observations } from "../domain/observation.ts";
import type { ProjectIdentity } from "../domain/project.ts";
import { isExpected } from "./edge_checks/removed.ts";
import { type IdentifiedFunction, reconcileFunctions } from "./edge_inventory.ts";
import { type FunctionReport, judgeFunction } from "./judge_function.ts";
import { owedDeliveries } from "./owed_deliveries.ts";
import { formatDuration } from "./text.ts";

/** Logs that could not be read for so long are an incident of their own. */
const UNREADABLE_LOGS_MS = 30 * 60_000;

/** What a look at a project's edge functions comes to. */
export interface EdgeEvaluation {
  observations: Observations;
  functions: IdentifiedFunction[];
  /** By `jobInventoryId`. */
  healthChecks: Map<string, JudgedHealthCheck>;
  reports: FunctionReport[];
}

/**
 * Judges every edge function and webhook of a project.
 *
 * @param now The hub's clock, epoch milliseconds.
 */
export function evaluateEdge(
  project: ProjectIdentity,
  facts: EdgeFacts,
  knowledge: HubKnowledge,
  edge: EdgeKnowledge,
  now: number,
  newId: () => string,
): EdgeEvaluation {
  const inventory = facts.deployed === null
    ? { jobs: [], removed: [], changes: [], functions: [] }
    : reconcileFunctions(facts.deployed, knowledge, edge, newId);
  const gone = new Set(inventory.removed);
  const jobs = [
    ...jobsNow(knowledge, new Set(inventory.jobs.map(({ id }) => id)), gone, now),
    ...inventory.jobs.filter(({ id }) => !knowledge.jobs.some((known) => known.id === id))
      .map((job) => newJob(job, now)),
  ];
  const judged = jobs.filter((job) => isJudged(job, edge, knowledge)).map((job) =>
    judgeFunction(job, edge.functions.get(job.id) ?? firstSeen(job, facts), facts, edge, knowledge, now)
  );
  return {
    observations: {
      projectName: project.name,
      projectRef: project.ref,
      expectedVersion: knowledge.version,
      jobs: inventory.jobs,
      removed: inventory.removed,
      changes: inventory.changes,
      runs: judged.flatMap(({ runs }) => runs),
      states: judged.map(({ state }) => state),
      incidents: [
        ...judged.flatMap(({ transitions }) => transitions),
        ...logsIncident(project, facts, knowledge, edge, now),
      ],
    },
    functions: inventory.functions,
    healthChecks: new Map(
      judged.flatMap(({ state, health }) => health === null ? [] : [[state.jobInventoryId, health]]),
    ),
    reports: judged.map(({ report }) => report),
  };
}

/** Types of jobs that are judged here, and nowhere else. */
const TYPES: ReadonlySet<string> = new Set(["edge_function", "webhook"]);

/** Known functions and webhooks as they are now: returned, or found removed at this look. */
function jobsNow(
  knowledge: HubKnowledge,
  shown: ReadonlySet<string>,
  gone: ReadonlySet<string>,
  now: number,
): InventoryJob[] {
  return knowledge.jobs.filter(({ jobType }) => TYPES.has(jobType)).map((job) => {
    if (shown.has(job.id)) return { ...job, removedAt: null };
    return gone.has(job.id) ? { ...job, removedAt: now } : job;
  });
}

/**
 * A webhook without a health check belongs to whoever else watches it. A removed function is judged while somebody
 * expects it, and until its incidents are over.
 */
function isJudged(job: InventoryJob, edge: EdgeKnowledge, knowledge: HubKnowledge): boolean {
  const own = edge.functions.get(job.id);
  const expectations = own?.expectations ?? NO_EXPECTATIONS;
  const incidents = knowledge.incidents.filter((one) =>
    one.subjectKind === "job" && one.subjectId === job.id
  );
  if (job.jobType === "webhook") {
    const asked = incidents.some(({ code }) =>
      HEALTH_CODES.has(code) || (code === "slow" && own?.isHeartbeat !== true)
    );
    return asked || (job.removedAt === null && expectations.healthCheckUrl !== null);
  }
  return job.removedAt === null || isExpected(job, expectations) || incidents.length > 0;
}

/** Incidents of health checks, which nobody else ends; slow may be a heartbeat's too. */
const HEALTH_CODES: ReadonlySet<string> = new Set(["unhealthy", "health_check_refused"]);

function newJob(job: { id: string; jobName: string; active: boolean }, now: number): InventoryJob {
  return {
    id: job.id,
    jobType: "edge_function",
    jobName: job.jobName,
    jobUser: null,
    jobId: null,
    schedule: null,
    command: null,
    active: job.active,
    firstSeenAt: now,
    removedAt: null,
    ...UNANNOTATED,
  };
}

/** What is known of a function that the hub did not know: what the logs tell at this look. */
function firstSeen({ id, jobName }: InventoryJob, { logs }: EdgeFacts): FunctionKnowledge {
  const minutes = (logs?.minutes ?? []).filter(({ functionName }) => functionName === jobName);
  return {
    jobInventoryId: id,
    expectations: NO_EXPECTATIONS,
    isHeartbeat: false,
    deployed: null,
    health: null,
    minutes,
    newMinutes: minutes,
    lastInvocationAt: minutes.length === 0 ? null : Math.max(...minutes.map(({ minute }) => minute)),
    wrappedSince: null,
    lastFailure: null,
  };
}

/** Logs that stay unreadable are a blind spot, told once; a single failure is not. */
function logsIncident(
  project: ProjectIdentity,
  facts: EdgeFacts,
  knowledge: HubKnowledge,
  edge: EdgeKnowledge,
  now: number,
): IncidentTransition[] {
  const subjectId = `function logs of ${project.name}`;
  const open = knowledge.incidents.find((one) => one.subjectKind === "hub" && one.subjectId === subjectId);
  const owed = (event: "opened" | "resolved") =>
    owedDeliveries(
      { severity: "low", alertChannel: null, projectName: project.name, event },
      knowledge.alertConfigs,
    );
  const error = facts.logs?.error ?? null;
  const since = edge.logs.errorSince;
  if (error === null) {
    const read = facts.logs !== null && facts.logs.readUntil !== null;
    if (open === undefined || !read) return [];
    return [{
      action: "resolve",
      id: open.id,
      resolution: "recovered",
      detail: {},
      deliveries: owed("resolved"),
    }];
  }
  if (since === null || now - since < UNREADABLE_LOGS_MS) return [];
  const summary = `the logs of its edge functions have not been read for ${
    formatDuration(now - since)
  }: ${error}`;
  const detail = { subjectName: subjectId };
  if (open !== undefined) return [{ action: "update", id: open.id, severity: "low", summary, detail }];
  const subject = { subjectKind: "hub", subjectId, jobInventoryId: null, code: "logs_unreadable" } as const;
  return [{ action: "open", ...subject, severity: "low", summary, detail, deliveries: owed("opened") }];
}
