/** Judges the heartbeats of a project: what was heard and what the hub knew → observations. Pure: no clock, no I/O. */
import type { HeartbeatFacts } from "../domain/heartbeat.ts";
import type { HubKnowledge } from "../domain/hub.ts";
import type { JobType } from "../domain/job.ts";
import type { Observations, ObservedJob } from "../domain/observation.ts";
import { reconcile } from "./inventory.ts";
import { closeRemovedJob } from "./job_transitions.ts";
import { judgeHeartbeat, shownHeartbeat } from "./judge_heartbeat.ts";
import type { JobReport } from "./judge_job.ts";

/** What a look at a project's heartbeats comes to. */
export interface HeartbeatEvaluation {
  observations: Observations;
  jobs: (JobReport & { jobType: JobType })[];
}

/** Types of jobs that say so themselves when they ran. */
const TYPES = ["heartbeat", "webhook"] as const;

/** By name of the heartbeat: the ping up to which it has been judged. */
export function judgedPings(knowledge: HubKnowledge): Record<string, number> {
  const cursors: Record<string, number> = {};
  for (const { id, jobName, jobType } of knowledge.jobs) {
    if (!isHeartbeat(jobType)) continue;
    const ended = knowledge.states.get(id)?.recentRuns.filter(({ status }) => status !== "running") ?? [];
    cursors[jobName] = Math.max(cursors[jobName] ?? 0, ...ended.map(({ runId }) => runId ?? 0));
  }
  return cursors;
}

/** Judges every heartbeat of a project, each by itself, and ends the incidents of those that are gone. */
export function evaluateHeartbeats(
  facts: HeartbeatFacts,
  knowledge: HubKnowledge,
  newId: () => string,
): HeartbeatEvaluation {
  const inventories = TYPES.map((type) =>
    reconcile(
      facts.heartbeats.filter(({ jobType }) => jobType === type).map(shownHeartbeat),
      knowledge.jobs,
      type,
      newId,
    )
  );
  const jobs = inventories.flatMap((inventory) => inventory.jobs);
  const ids = new Map(jobs.map((job) => [job.jobName, job]));
  const judged = facts.heartbeats.map((heartbeat) => ({
    jobType: heartbeat.jobType,
    ...judgeHeartbeat(heartbeat, ids.get(heartbeat.jobName) as ObservedJob, knowledge, facts),
  }));
  // who removes a heartbeat says so in the inventory; one that is only written there yet is none of ours
  const gone = knowledge.jobs.filter(({ jobType, removedAt, jobName }) =>
    isHeartbeat(jobType) && removedAt !== null && !ids.has(jobName)
  );
  return {
    observations: {
      projectName: knowledge.projectName,
      projectRef: null,
      expectedVersion: knowledge.version,
      jobs,
      changes: inventories.flatMap(({ changes }) => changes.filter(({ change }) => change !== "removed")),
      runs: judged.flatMap(({ runs }) => runs),
      states: judged.map(({ state }) => state),
      incidents: [
        ...judged.flatMap(({ transitions }) => transitions),
        ...gone.flatMap(({ id }) => closeRemovedJob(id, knowledge)),
      ],
    },
    jobs: judged.map(({ report, jobType }) => ({ ...report, jobType })),
  };
}

function isHeartbeat(jobType: JobType): boolean {
  return TYPES.some((type) => type === jobType);
}
