/** What becomes of a job's incidents: those that hold go on, new ones open, the others are over. */
import type { NewsEvent } from "../domain/delivery.ts";
import type { HubKnowledge, OpenIncident } from "../domain/hub.ts";
import type { Severity } from "../domain/job.ts";
import type { IncidentTransition, Resolution } from "../domain/observation.ts";
import { isDegraded, type JobView, type Verdict } from "./checks/check.ts";
import type { Conclusion } from "./job_conclusion.ts";
import type { FullView } from "./job_view.ts";
import { asTheirCallsEnded } from "./http_calls.ts";
import { owedDeliveries, severityOfJob } from "./owed_deliveries.ts";

/** Transitions of a job that the project shows. */
export function jobTransitions(
  view: FullView,
  conclusion: Conclusion,
  incidents: readonly OpenIncident[],
  { projectName, alertConfigs }: HubKnowledge,
): IncidentTransition[] {
  const common = {
    lastRunAt: iso(view.lastRunAt),
    lastSuccessAt: iso(view.lastSuccessAt),
    recentRuns: asTheirCallsEnded(view.recentRuns.slice(-10), view.calls.recent),
  };
  const owed = (event: NewsEvent, severity: Severity) =>
    owedDeliveries({ severity, alertChannel: view.job.alertChannel, projectName, event }, alertConfigs);
  const subject = { subjectKind: "job", subjectId: view.job.id, jobInventoryId: view.job.id } as const;
  const asOpened = ({ code, summary, ...verdict }: Verdict, also: string[]) => {
    const severity = severityOf(view, { code, summary, ...verdict });
    const detail = { ...common, ...verdict.detail, also };
    return {
      action: "open",
      ...subject,
      code,
      severity,
      summary,
      detail,
      deliveries: owed("opened", severity),
    } as const;
  };
  const over = conclusion.verdicts.filter(({ gravity }) => gravity === "over");
  const [main, ...others] = conclusion.verdicts.filter(({ gravity }) => gravity !== "over");
  const also = others.map(({ summary }) => summary);
  const told = over.filter(() => incidents.length === 0).map((verdict) => ({
    ...asOpened(verdict, []),
    resolution: "recovered" as const,
  }));
  const same = incidents.filter((incident) => main !== undefined && sameGravity(incident, main));
  const ended = incidents.filter((incident) => !same.includes(incident)).flatMap((incident) => {
    const resolution = resolutionOf(view, conclusion, incident);
    if (resolution === null) return [];
    const deliveries = resolution === "superseded" ? [] : owed("resolved", incident.severity);
    return [{ action: "resolve" as const, id: incident.id, resolution, detail: common, deliveries }];
  });
  if (main === undefined) return [...told, ...ended];
  if (same.length === 0) return [...told, ...ended, ...(main.told ? [] : [asOpened(main, also)])];
  const { summary, severity, detail } = asOpened(main, also);
  return [
    ...told,
    ...ended,
    ...same.map(({ id }) => ({ action: "update" as const, id, severity, summary, detail })),
  ];
}

function sameGravity(incident: OpenIncident, verdict: Verdict): boolean {
  return isDegraded(incident.code) === (verdict.gravity === "degraded");
}

function severityOf(view: JobView, verdict: Verdict): Severity {
  return verdict.severity ?? (verdict.gravity === "outage" ? severityOfJob(view.job.criticality) : "low");
}

/** Incidents that a new schedule ends: they were about the times of the old one. */
const OF_SCHEDULE: ReadonlySet<string> = new Set(["missed", "never_ran", "schedule_invalid"]);

/** How an incident ends, or `null` while nothing shows that it has: unknown is no recovery. */
function resolutionOf(view: FullView, conclusion: Conclusion, incident: OpenIncident): Resolution | null {
  if (conclusion.status === "paused") return "paused";
  const hasRun = view.newStarts.length > 0;
  const rescheduled = view.previous !== null && view.previous.schedule !== view.job.schedule;
  if (rescheduled && !hasRun && OF_SCHEDULE.has(incident.code)) return "rescheduled";
  // whatever the clock says, a new row is a new run
  if (view.clockOff) {
    const met = incident.code === "missed" || incident.code === "never_ran";
    return met && hasRun && view.lastFinished?.status === "success" ? "recovered" : null;
  }
  if (isDegraded(incident.code)) {
    // a graver incident takes its place; otherwise what slowed the job down is over
    return conclusion.verdicts.some(({ gravity }) => gravity === "outage") ? "superseded" : "recovered";
  }
  return conclusion.status === "healthy"
    ? "recovered"
    : rescheduled && OF_SCHEDULE.has(incident.code)
    ? "rescheduled"
    : null;
}

/** The incidents of a job that is gone end. */
export function closeRemovedJob(id: string, knowledge: HubKnowledge): IncidentTransition[] {
  const job = knowledge.jobs.find((candidate) => candidate.id === id);
  const severity = severityOfJob(job?.criticality ?? null);
  return incidentsOf(id, knowledge).map((incident) => ({
    action: "resolve",
    id: incident.id,
    resolution: "removed",
    detail: {},
    deliveries: owedDeliveries(
      {
        severity,
        alertChannel: job?.alertChannel ?? null,
        projectName: knowledge.projectName,
        event: "resolved",
      },
      knowledge.alertConfigs,
    ),
  }));
}

function incidentsOf(jobInventoryId: string, knowledge: HubKnowledge): OpenIncident[] {
  return knowledge.incidents.filter((incident) =>
    incident.subjectKind === "job" && incident.subjectId === jobInventoryId
  );
}

function iso(instant: number | null): string | null {
  return instant === null ? null : new Date(instant).toISOString();
}
