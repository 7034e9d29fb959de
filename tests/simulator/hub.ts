/** The hub in memory: what `monitoring.record_observations` makes of an evaluation. */
import type { HubKnowledge, InventoryJob } from "../../supabase/functions/_shared/domain/hub.ts";
import { type JobAnnotations, UNANNOTATED } from "../../supabase/functions/_shared/domain/job.ts";
import { alertRow } from "../support/alerts.ts";
import type {
  IncidentTransition,
  Observations,
} from "../../supabase/functions/_shared/domain/observation.ts";

/** A hub that knows nothing yet. */
export function emptyHub(alertOnDrift: boolean): HubKnowledge {
  return {
    version: 0,
    projectName: "simulated",
    runCursor: null,
    launcherWasMissing: false,
    timeZone: null,
    alertOnDrift,
    openRuns: [],
    jobs: [],
    states: new Map(),
    incidents: [],
    alertConfigs: [alertRow("config")],
  };
}

/**
 * Records observations.
 *
 * @param now The hub's clock.
 * @param notesOf What a person writes about a job when it turns up.
 */
export function record(
  hub: HubKnowledge,
  seen: Observations,
  now: number,
  notesOf: (jobName: string) => Partial<JobAnnotations>,
): void {
  recordJobs(hub, seen, now, notesOf);
  for (const state of seen.states ?? []) hub.states.set(state.jobInventoryId, state);
  for (const transition of seen.incidents ?? []) recordIncident(hub, transition, now);
  hub.version++;
  if (seen.project?.status !== "ok") return;
  hub.runCursor = seen.project.runCursor;
  hub.openRuns = seen.project.openRuns;
  const { timeZone } = seen.project.settings;
  hub.timeZone = typeof timeZone === "string" ? timeZone : null;
  hub.launcherWasMissing = seen.project.settings.launcherAlive === false;
}

function recordJobs(
  hub: HubKnowledge,
  seen: Observations,
  now: number,
  notesOf: (jobName: string) => Partial<JobAnnotations>,
): void {
  const known = new Map(hub.jobs.map((job) => [job.id, job]));
  for (const { expectedIntervalMinutes: _shownOnly, ...job } of seen.jobs ?? []) {
    const before: InventoryJob = known.get(job.id) ??
      { ...job, ...UNANNOTATED, ...notesOf(job.jobName), firstSeenAt: now, removedAt: null };
    known.set(job.id, { ...before, ...job, removedAt: null });
  }
  for (const id of seen.removed ?? []) {
    const job = known.get(id);
    if (job !== undefined && job.removedAt === null) known.set(id, { ...job, removedAt: now });
  }
  hub.jobs = [...known.values()];
}

let incidents = 0;

function recordIncident(hub: HubKnowledge, transition: IncidentTransition, now: number): void {
  switch (transition.action) {
    case "open": {
      const { subjectKind, subjectId, code, severity, summary, detail } = transition;
      const unresolved = hub.incidents.some((one) =>
        one.subjectKind === subjectKind && one.subjectId === subjectId && one.code === code
      );
      if (unresolved || transition.resolution !== undefined) return;
      const id = `incident ${++incidents}`;
      hub.incidents.push({ id, subjectKind, subjectId, code, severity, summary, detail, openedAt: now });
      return;
    }
    case "update": {
      const { id, severity, summary, detail } = transition;
      hub.incidents = hub.incidents.map((one) => one.id === id ? { ...one, severity, summary, detail } : one);
      return;
    }
    case "resolve":
      hub.incidents = hub.incidents.filter(({ id }) => id !== transition.id);
  }
}
