/** The facts of one incident, a line each: when, since when, how often, how long; what changed, who else is down; whose it is. */
import type { DeliveryEvent, MessageField } from "../domain/delivery.ts";
import type { Incident, IncidentJob } from "../domain/incident.ts";
import { runbookUrl } from "./message_links.ts";
import { median } from "./percentile.ts";
import { clean, cut, dateOf, formatDuration, formatUtc, oneLine, sentence } from "./text.ts";

/** Jobs named under an incident of their project. */
const HELD_JOBS_SHOWN = 12;
/** Successful runs from which one can tell what is usual. */
const RUNS_TO_LEARN = 3;
/** Everything that is known of one incident and fits a line each; less where it is over. */
export function factsOf(event: DeliveryEvent, incident: Incident, now: Date): MessageField[] {
  const { detail, job } = incident;
  if (event === "resolved") return factsOfEnd(incident, now);
  const fields = [
    ...timing(incident, now),
    ...durationOf(incident),
    ...lastSuccessOf(incident, now),
    ...lastReadOf(incident, now),
    ...changesOf(incident),
  ];
  if ((detail.consecutiveFailures ?? 0) > 1) {
    fields.push({ label: "Failures in a row", value: String(detail.consecutiveFailures) });
  }
  if ((detail.missedSlots ?? 0) > 1) {
    fields.push({ label: "Slots missed", value: String(detail.missedSlots) });
  }
  if (detail.also?.length) fields.push({ label: "Also", value: detail.also.map(sentence).join(" ") });
  if (detail.heldJobs?.length) fields.push({ label: "Overdue jobs", value: heldJobs(detail.heldJobs) });
  for (const { label, value } of detail.facts ?? []) fields.push({ label, value });
  fields.push(...othersDown(incident));
  return job === null ? fields : [...fields, ...factsOfJob(job)];
}

/** Jobs whose own misses are not told one by one. */
function heldJobs(names: readonly string[]): string {
  const shown = names.slice(0, HELD_JOBS_SHOWN).map((name) => cut(oneLine(name), 60)).join(", ");
  return names.length > HELD_JOBS_SHOWN ? `${shown} and ${names.length - HELD_JOBS_SHOWN} more` : shown;
}

function factsOfEnd(incident: Incident, now: Date): MessageField[] {
  const fields = [
    { label: "What it was", value: sentence(incident.summary) },
    ...lastSuccessOf(incident, now),
  ];
  if (incident.subjectKind === "project") fields.push(...othersDown(incident));
  if (incident.job !== null) fields.push(ownerField(incident.job));
  return fields;
}

function lastSuccessOf({ detail, job }: Incident, now: Date): MessageField[] {
  const at = dateOf(detail.lastSuccessAt);
  if (at !== null) return [timeField("Last success", at, now)];
  return job !== null && detail.lastSuccessAt === null
    ? [{ label: "Last success", value: "none on record" }]
    : [];
}

/** How long the run that is told of took, against what successful ones take; nothing where both are over at once. */
function durationOf({ detail }: Incident): MessageField[] {
  const at = dateOf(detail.lastRunAt)?.getTime();
  const runs = (detail.recentRuns ?? []).flatMap(({ status, startedAt, endedAt }) => {
    const [began, ended] = [dateOf(startedAt)?.getTime(), dateOf(endedAt)?.getTime()];
    return began === undefined || ended === undefined ? [] : [{ status, began, took: ended - began }];
  });
  const told = runs.find(({ began }) => began === at);
  if (told === undefined) return [];
  const others = runs.filter((run) => run !== told && run.status === "success").map(({ took }) => took);
  const usual = others.length < RUNS_TO_LEARN ? null : median(others);
  if (told.took < 1000 && (usual ?? 0) < 1000) return [];
  const against = usual === null ? "" : ` (usually ${formatDuration(usual)})`;
  return [{ label: "Took", value: `${formatDuration(told.took)}${against}` }];
}

/** Since when nobody knows anything about the project. */
function lastReadOf({ surroundings }: Incident, now: Date): MessageField[] {
  const at = dateOf(surroundings?.unreadSince);
  return at === null ? [] : [timeField("Project last read", at, now)];
}

/** What discovery found different since the job last succeeded. */
function changesOf({ surroundings }: Incident): MessageField[] {
  const changes = (surroundings?.changes ?? []).map(({ change, oldValue, noticedAt }) => {
    const noticed = dateOf(noticedAt);
    const was = change === "schedule" && oldValue ? ` (was ${cut(oneLine(oldValue), 60)})` : "";
    return `${change.replaceAll("_", " ")}${was}${noticed === null ? "" : `, noticed ${formatUtc(noticed)}`}`;
  });
  return changes.length === 0 ? [] : [{ label: "Changed since then", value: changes.join("; ") }];
}

/** Whether it is alone: what else is open in its project, and how much elsewhere. */
function othersDown({ surroundings, projectName }: Incident): MessageField[] {
  if (!surroundings || surroundings.here + surroundings.elsewhere === 0) return [];
  const { names, here, elsewhere } = surroundings;
  const shown = names.map(({ name, code }) =>
    `${cut(oneLine(name), 60)} (${oneLine(code).replaceAll("_", " ")})`
  );
  const more = here > names.length ? ` and ${here - names.length} more` : "";
  const parts = [
    ...here === 0 ? [] : [`${shown.join(", ")}${more} in ${oneLine(projectName)}`],
    ...elsewhere === 0
      ? []
      : [`${elsewhere} ${elsewhere === 1 ? "incident" : "incidents"} in other projects`],
  ];
  return [{ label: "Also open", value: parts.join("; ") }];
}

/** What the inventory and its annotations say. */
function factsOfJob(job: IncidentJob): MessageField[] {
  const fields: MessageField[] = [];
  if (job.schedule !== null) {
    const user = job.jobUser === null ? "" : ` as ${oneLine(job.jobUser)}`;
    fields.push({ label: "Schedule", value: `${oneLine(job.schedule)}${user}` });
  }
  fields.push(ownerField(job));
  fields.push({ label: "Criticality", value: job.criticality ?? "not set, taken as important" });
  if (job.description) fields.push({ label: "What it does", value: clean(job.description) });
  if (job.successCriteria) fields.push({ label: "It worked when", value: clean(job.successCriteria) });
  const runbook = job.runbookUrl?.trim() ?? "";
  // a link that is not https is told, not linked
  if (runbook !== "" && runbookUrl(runbook) === null) {
    fields.push({ label: "Runbook", value: oneLine(runbook) });
  }
  return fields;
}

function ownerField(job: IncidentJob): MessageField {
  return { label: "Owner", value: oneLine(job.owner ?? "") || "nobody yet" };
}

/** Expected against actual time. */
function timing(incident: Incident, now: Date): MessageField[] {
  const { detail } = incident;
  const expected = dateOf(detail.expectedAt);
  const lastRun = dateOf(detail.lastRunAt);
  const fields: MessageField[] = [];
  // of a run that failed, the time expected is the run's own; of everything else, nothing since then was a run
  const absent = incident.code === "missed" ||
    (incident.code !== "failed" && expected !== null && (lastRun === null || lastRun < expected));
  if (absent) {
    if (expected !== null) {
      fields.push(timeField("Expected", expected, now), absence(incident, expected, now));
    }
    if (lastRun !== null) fields.push(timeField("Last run", lastRun, now));
    else if (detail.lastRunAt === null) fields.push({ label: "Last run", value: "none on record" });
    return fields;
  }
  if (expected !== null && lastRun !== null && lastRun.getTime() - expected.getTime() >= 1000) {
    const late = formatDuration(lastRun.getTime() - expected.getTime());
    fields.push(timeField("Expected", expected, now));
    fields.push({ label: "Actual", value: `${formatUtc(lastRun)} (${late} late)`, at: lastRun });
    return fields;
  }
  const ran = lastRun ?? expected;
  if (ran !== null) fields.push(timeField("Ran at", ran, now));
  return fields;
}

/** What stands where a start was expected. The incident was opened by the check that looked. */
function absence(incident: Incident, expected: Date, now: Date): MessageField {
  const looked = dateOf(incident.openedAt) ?? now;
  const late = formatDuration(looked.getTime() - expected.getTime());
  const grace = incident.detail.graceMinutes;
  const allowed = grace ? `; ${formatDuration(grace * 60_000)} of grace` : "";
  return { label: "Actual", value: `no run by ${formatUtc(looked)} (${late} late${allowed})` };
}

/** A time, and how long ago that was; channels may show it in the reader's own zone too. */
export function timeField(label: string, at: Date, now?: Date): MessageField {
  return { label, value: now === undefined ? formatUtc(at) : `${formatUtc(at)} (${ago(at, now)})`, at };
}

/** `12 min ago`, `in 3 h`. */
export function ago(at: Date, now: Date): string {
  const passed = now.getTime() - at.getTime();
  return passed < 0 ? `in ${formatDuration(-passed)}` : `${formatDuration(passed)} ago`;
}
