/** Drift: a job of the inventory vanished, was paused, rescheduled, or does something else. Told once, where wished. */
import type { HubKnowledge, InventoryJob } from "../domain/hub.ts";
import type { IncidentTransition, InventoryChange } from "../domain/observation.ts";
import type { Reconciliation } from "./inventory.ts";
import { owedDeliveries } from "./owed_deliveries.ts";
import { redact } from "./redact.ts";
import { oneLine } from "./text.ts";

/** Characters of a command that a sentence shows, and how many of them before the first difference. */
const SHOWN_COMMAND = 120;
const SHOWN_BEFORE = 30;

/** One low incident for each job that drifted, over when it is told; none unless `app_settings.alert_on_drift` is on. */
export function driftTransitions(inventory: Reconciliation, knowledge: HubKnowledge): IncidentTransition[] {
  if (!knowledge.alertOnDrift) return [];
  const byJob = Map.groupBy(inventory.changes, ({ jobInventoryId }) => jobInventoryId);
  const known = new Map(knowledge.jobs.map((job) => [job.id, job]));
  return [...byJob].flatMap(([id, changes]) => {
    const job = known.get(id);
    const told = changes.flatMap((change) => sentenceOf(change, job, inventory) ?? []);
    return told.length === 0 ? [] : [opened(id, told.join("; "), job, knowledge)];
  });
}

function opened(
  id: string,
  summary: string,
  job: InventoryJob | undefined,
  { projectName, alertConfigs }: HubKnowledge,
): IncidentTransition {
  const alert = {
    severity: "low",
    alertChannel: job?.alertChannel ?? null,
    projectName,
    event: "opened",
  } as const;
  return {
    action: "open",
    subjectKind: "job",
    subjectId: id,
    jobInventoryId: id,
    code: "drift",
    severity: "low",
    summary,
    detail: {},
    resolution: "told",
    deliveries: owedDeliveries(alert, alertConfigs),
  };
}

function sentenceOf(
  { change, oldValue, newValue }: InventoryChange,
  job: InventoryJob | undefined,
  inventory: Reconciliation,
): string | null {
  switch (change) {
    case "removed": {
      const now = job === undefined ? null : newNameOf(job, inventory);
      if (now !== null) return `it is now called ${quoted(now)}`;
      return oldValue === null
        ? "it vanished from its project"
        : `it vanished from its project (its schedule was ${quoted(oldValue)})`;
    }
    case "paused":
      return "it was paused";
    case "schedule":
      return `its schedule changed from ${quoted(oldValue)} to ${quoted(newValue)}`;
    case "command": {
      const [before, after] = aroundDifference(oldValue ?? "", newValue ?? "");
      return `its command changed from ${quoted(before)} to ${quoted(after)}`;
    }
    default:
      return null;
  }
}

/** A row of `cron.job` under another name is the same job to whoever renamed it. */
function newNameOf(job: InventoryJob, { jobs, changes }: Reconciliation): string | null {
  const added = new Set(changes.filter(({ change }) => change === "added").map((one) => one.jobInventoryId));
  return jobs.find(({ id, jobId }) => jobId !== null && jobId === job.jobId && added.has(id))?.jobName ??
    null;
}

function quoted(text: string | null): string {
  return text === null ? "none" : `"${oneLine(redact(text))}"`;
}

/** The parts of two commands that show where they begin to differ. */
function aroundDifference(before: string, after: string): [string, string] {
  const [one, other] = [oneLine(redact(before)), oneLine(redact(after))];
  let same = 0;
  while (same < Math.min(one.length, other.length) && one[same] === other[same]) same++;
  const from = Math.max(one.length, other.length) <= SHOWN_COMMAND ? 0 : Math.max(0, same - SHOWN_BEFORE);
  const part = (text: string) => {
    const shown = text.slice(from, from + SHOWN_COMMAND).toWellFormed();
    return `${from > 0 ? "…" : ""}${shown}${from + SHOWN_COMMAND < text.length ? "…" : ""}`;
  };
  return [part(one), part(other)];
}
