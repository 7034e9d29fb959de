/** What an alert says: verdict and cause first, then the facts, then where to look. */
import type { DeliveryEvent, Message, MessageField, MessageSubject, Thread } from "../domain/delivery.ts";
import type { Incident, IncidentJob } from "../domain/incident.ts";
import type { Severity } from "../domain/job.ts";
import type { RecentRun } from "../domain/run.ts";
import { redact } from "./redact.ts";
import { SEVERITY_ORDER, worstSeverity } from "./routing.ts";
import { clean, cut, formatDuration, formatUtc, oneLine } from "./text.ts";

/** Jobs named under an incident of their project. */
const HELD_JOBS_SHOWN = 12;
/** Incidents that a message tells of one by one; the others are named in its last fields. */
const TOP_INCIDENTS = 8;
/** With more incidents than this, a message is a list of names, and the worst stands for them. */
const LIST_INCIDENTS = 30;
/** Characters of a field of names: a channel that escapes every third of them does not cut it. */
const NAMES_LIMIT = 300;
/** Characters of a job's own error that a message carries at most. */
const EXCERPT_LIMIT = 100_000;
/** Instants inside of sentences; no day but those that every month has. */
const ISO_INSTANT =
  /\b20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z/g;
/** Characters of it in the plain twin. */
const PLAIN_EXCERPT_LIMIT = 2_000;
const STRIP_RUNS = 10;
const ORIGIN = "Supabase Job Monitor";
/** Where every incident stands, for messages that have no room for all. */
export const ALL_INCIDENTS = "all of them: deno task monitor incidents";
/** How an incident ended, by `incidents.resolution`. */
const ENDINGS: Readonly<Record<string, string>> = {
  recovered: "All is well again.",
  removed: "The job is gone, so there is nothing left to watch.",
  paused: "The job was paused; nothing is expected of it until it is resumed.",
  rescheduled: "The job has a new schedule and is judged by that from now on.",
  superseded: "What is left of it is told by itself.",
  told: "It happened once, and that is all.",
  "by hand": "Somebody closed the incident by hand.",
};
/** The same, of metrics. */
const METRIC_ENDINGS: Readonly<Record<string, string>> = {
  removed: "It is not measured any more.",
  superseded: "It is no longer critical, but still a warning.",
};
const RUN_SIGNS = { success: "🟩", failed: "🟥", unknown: "⬜", running: "🟦" } as const;

/** What {@link composeMessage} tells of. */
export interface MessageInput {
  event: DeliveryEvent;
  /** None for a test. */
  incidents: readonly Incident[];
  now: Date;
  /** What the target was told of them before. */
  threads?: readonly Thread[];
  /** Why this channel is told, where that needs a word. */
  note?: string | null | undefined;
}

/** Says what happened, for one incident or many. Everything that came from outside is redacted here. */
export function composeMessage(input: MessageInput): Message {
  const [first, ...others] = bySeverity(input.incidents);
  if (input.event === "test" || first === undefined) return redacted(testMessage(input.now));
  const message = others.length > 0
    ? composeMany(input.event, [first, ...others], input.now)
    : composeOne(input.event, first, input.now);
  const about = aboutOf([first, ...others]);
  const fields = input.note ? [{ label: "Why here", value: input.note }, ...message.fields] : message.fields;
  return redacted({
    ...message,
    fields,
    about,
    ...input.threads === undefined ? {} : { threads: input.threads },
  });
}

/** What all incidents have in common, as words. */
function aboutOf(incidents: readonly Incident[]): MessageSubject {
  const same = (words: string[]) => new Set(words).size === 1 ? words[0] ?? null : null;
  return {
    project: same(incidents.map((incident) => incident.projectName)),
    subject: same(incidents.map(nameOf)),
    code: same(incidents.map((incident) => incident.code)),
  };
}

/** The message as plain text: the twin that is stored, and what a channel falls back on. */
export function renderPlain(message: Message): string {
  const facts = message.fields.map((field) => `${oneLine(field.label)}: ${clean(field.value)}`);
  if (message.strip !== null) facts.push(`${stripLabel(message.strip)}: ${message.strip}`);
  const parts = [
    oneLine(message.title),
    clean(message.cause),
    facts.join("\n"),
    message.excerpt === null ? "" : `Last error:\n${cut(clean(message.excerpt), PLAIN_EXCERPT_LIMIT)}`,
    message.links.map((link) => `${oneLine(link.label)}: ${clean(link.url)}`).join("\n"),
    oneLine(message.footer),
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

/** What stands for the facts that a channel has no room for: how many, and where else they are. */
export function describeRest(fields: readonly MessageField[]): string {
  const incidents = fields.reduce((sum, field) => sum + (field.incidents ?? 0), 0);
  if (incidents > 0) {
    return `${incidents} more ${incidents === 1 ? "incident" : "incidents"}, ${ALL_INCIDENTS}`;
  }
  return `${fields.length} more ${fields.length === 1 ? "fact" : "facts"}`;
}

/** `Last 10 runs`, by the signs of a strip. */
export function stripLabel(strip: string): string {
  const runs = [...strip].length;
  return runs === 1 ? "Last run" : `Last ${runs} runs`;
}

function composeOne(event: DeliveryEvent, incident: Incident, now: Date): Message {
  const cause = causeOf(event, incident, now);
  const excerpt = excerptOf(event, incident);
  return {
    event,
    severity: incident.severity,
    title: titleOf(event, incident),
    cause,
    fields: factsOf(event, incident, now),
    excerpt: excerpt !== null && cause.includes(oneLine(excerpt)) ? null : excerpt,
    strip: stripOf(incident.detail.recentRuns ?? []),
    links: linksOf(incident),
    footer: `incident ${incident.id} · as of ${formatUtc(now)} · ${ORIGIN}`,
    incidentIds: [incident.id],
    at: now,
  };
}

function composeMany(event: DeliveryEvent, incidents: Incident[], now: Date): Message {
  const severity = worstSeverity(incidents.map((incident) => incident.severity));
  const shown = shownOf(incidents);
  const top = incidents.slice(0, shown);
  const rest = incidents.slice(shown);
  const shared = sharedBy(event, incidents);
  const fields = top.map((incident) => {
    const name = shared.project === null ? whereOf(incident) : nameOf(incident);
    const label = shared.verdict === null ? `${verdictOf(event, incident)}: ${name}` : name;
    return { label, value: lineOf(event, incident, now), incidents: 1 };
  });
  fields.push(
    ...namesOf(rest, shared.project !== null).map((names, index) => ({
      label: index === 0 ? `+ ${rest.length} more` : "…",
      value: names.join(", "),
      incidents: names.length,
    })),
  );
  return {
    event,
    severity,
    title: titleOfMany(event, incidents, severity),
    cause: causeOfMany(event, incidents),
    fields,
    excerpt: null,
    strip: null,
    links: dashboardLinks(incidents),
    footer: `${incidents.length} incidents, the first ${incidents[0]?.id}, ${ALL_INCIDENTS} · as of ${
      formatUtc(now)
    } · ${ORIGIN}`,
    incidentIds: incidents.map((incident) => incident.id),
    at: now,
  };
}

function testMessage(now: Date): Message {
  return {
    event: "test",
    severity: "info",
    title: "TEST: alerts reach this channel",
    cause: "Nothing is wrong. Somebody asked Supabase Job Monitor for a test alert.",
    fields: [timeField("Sent", now)],
    excerpt: null,
    strip: null,
    links: [],
    footer: ORIGIN,
    incidentIds: [],
    at: now,
  };
}

function redacted(message: Message): Message {
  return {
    ...message,
    title: redact(message.title),
    cause: redact(message.cause),
    ...(message.about === undefined ? {} : {
      about: {
        project: message.about.project === null ? null : redact(message.about.project),
        subject: message.about.subject === null ? null : redact(message.about.subject),
        code: message.about.code === null ? null : redact(message.about.code),
      },
    }),
    fields: message.fields.map((field) => ({
      ...field,
      label: redact(field.label),
      value: redact(field.value),
    })),
    // cut after redacting: a secret cut in two is no longer known as one
    excerpt: message.excerpt === null ? null : redact(message.excerpt).slice(0, EXCERPT_LIMIT),
  };
}

function bySeverity(incidents: readonly Incident[]): Incident[] {
  return incidents.toSorted((a, b) =>
    SEVERITY_ORDER.indexOf(a.severity) - SEVERITY_ORDER.indexOf(b.severity) ||
    a.openedAt.localeCompare(b.openedAt)
  );
}

// --- titles and causes ---

function titleOf(event: DeliveryEvent, incident: Incident): string {
  const head = `${verdictOf(event, incident)}: ${whereOf(incident)}`;
  if (event !== "resolved") return `${head} · ${incident.severity}`;
  const down = outageOf(incident);
  return down === null ? head : `${head} after ${down}`;
}

function titleOfMany(event: DeliveryEvent, incidents: Incident[], severity: string): string {
  const shared = sharedBy(event, incidents);
  const head = shared.verdict ?? countsOf(incidents.map((incident) => verdictOf(event, incident)));
  const subjects = new Set(incidents.map((incident) => `${incident.subjectId} ${whereOf(incident)}`)).size;
  const eachAJob = subjects === incidents.length &&
    incidents.every(({ subjectKind }) => subjectKind === "job");
  const what = eachAJob ? "jobs" : "incidents";
  const projects = new Set(incidents.map((incident) => incident.projectName)).size;
  const where = shared.project ?? `${projects} projects`;
  return `${head}: ${incidents.length} ${what} in ${where}${event === "resolved" ? "" : ` · ${severity}`}`;
}

function causeOfMany(event: DeliveryEvent, incidents: Incident[]): string {
  const order = incidents.length > shownOf(incidents)
    ? "The worst first, the others by name."
    : "The worst first.";
  if (event !== "resolved") return order;
  return `It was: ${countsOf(incidents.map(({ code }) => oneLine(code).replaceAll("_", " ")))}. ${order}`;
}

/** What all of them have in common, so that it is said once. */
function sharedBy(
  event: DeliveryEvent,
  incidents: Incident[],
): { verdict: string | null; project: string | null } {
  const only = (values: string[]) => new Set(values).size === 1 ? values[0] ?? null : null;
  return {
    verdict: only(incidents.map((incident) => verdictOf(event, incident))),
    project: only(incidents.map((incident) => oneLine(incident.projectName))),
  };
}

/** `3 failed, 1 missed`, most frequent first. */
function countsOf(words: string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].toSorted(([, a], [, b]) => b - a).map(([word, count]) => `${count} ${word}`).join(", ");
}

/** `FAILED`, `STILL MISSED`, `ACKNOWLEDGED FAILED`, `RECOVERED`. */
function verdictOf(event: DeliveryEvent, incident: Incident): string {
  const verdict = oneLine(incident.code).replaceAll("_", " ").toUpperCase();
  if (event === "resolved") return hasRecovered(incident) ? "RECOVERED" : "CLOSED";
  if (event === "acknowledged") return `ACKNOWLEDGED ${verdict}`;
  return event === "reminder" ? `STILL ${verdict}` : verdict;
}

function hasRecovered(incident: Incident): boolean {
  return incident.resolution === null || incident.resolution === "recovered";
}

/** `sync_leads in smoothed`, `project smoothed`. */
function whereOf(incident: Incident): string {
  if (incident.subjectKind === "project") return nameOf(incident);
  return `${nameOf(incident)} in ${oneLine(incident.projectName)}`;
}

function nameOf(incident: Incident): string {
  switch (incident.subjectKind) {
    case "job":
      return oneLine(incident.job?.jobName ?? incident.subjectId);
    case "project":
      return `project ${oneLine(incident.projectName)}`;
    default:
      return `${incident.subjectKind} ${oneLine(incident.detail.subjectName ?? incident.subjectId)}`;
  }
}

function causeOf(event: DeliveryEvent, incident: Incident, now: Date): string {
  const told = sentence(incident.summary);
  const because = incident.detail.cause ? ` ${sentence(incident.detail.cause)}` : "";
  const opened = dateOf(incident.openedAt);
  const resolved = dateOf(incident.resolvedAt);
  if (event === "resolved") {
    const resolution = incident.resolution ?? "recovered";
    const ending = (incident.subjectKind === "metric" ? METRIC_ENDINGS[resolution] : undefined) ??
      ENDINGS[resolution] ?? "The incident is closed.";
    if (opened === null || resolved === null) return ending;
    return `${ending} It lasted ${outageOf(incident)}, from ${formatUtc(opened)} to ${formatUtc(resolved)}.`;
  }
  if (resolved !== null && incident.resolution === "told") return told + because;
  if (resolved !== null) return `${told}${because} It has recovered since, at ${formatUtc(resolved)}.`;
  if (event === "reminder" && opened !== null) {
    return `${told}${because} It has lasted ${formatDuration(now.getTime() - opened.getTime())} so far.`;
  }
  return told + because;
}

function sentence(text: string): string {
  const line = capitalised(cut(oneLine(text), 600)).replace(ISO_INSTANT, (iso) => formatUtc(new Date(iso)));
  return /[.!?…]$/.test(line) ? line : `${line}.`;
}

function capitalised(text: string): string {
  const [first = ""] = text;
  return first.toUpperCase() + text.slice(first.length);
}

function outageOf(incident: Incident): string | null {
  const opened = dateOf(incident.openedAt);
  const resolved = dateOf(incident.resolvedAt);
  return opened === null || resolved === null ? null : formatDuration(resolved.getTime() - opened.getTime());
}

/** One incident among many, on one line. */
function lineOf(event: DeliveryEvent, incident: Incident, now: Date): string {
  const opened = dateOf(incident.openedAt);
  const parts = [cut(sentence(incident.summary), 200)];
  if (event === "resolved") parts.unshift(`Lasted ${outageOf(incident) ?? "an unknown time"}.`);
  else if (opened !== null) parts.push(`Since ${formatUtc(opened)}, ${ago(opened, now)}.`);
  if (incident.job?.owner) parts.push(`Owner: ${oneLine(incident.job.owner)}.`);
  return parts.join(" ");
}

/** How many are told one by one. */
function shownOf(incidents: readonly Incident[]): number {
  return incidents.length > LIST_INCIDENTS ? 1 : TOP_INCIDENTS;
}

/** Names of the incidents beyond the top ones, by project, in pieces that channels do not cut. */
function namesOf(incidents: readonly Incident[], oneProject: boolean): string[][] {
  const projects = Map.groupBy(incidents, (incident) => oneLine(incident.projectName));
  const names = [...projects].flatMap(([project, group]) => {
    const own = group.map(nameOf).sort();
    return oneProject ? own : own.map((name, index) => index === 0 ? `${project}: ${name}` : name);
  });
  const pieces: string[][] = [];
  let room = 0;
  for (const name of names) {
    room -= name.length + 2;
    if (room >= 0) pieces.at(-1)?.push(name);
    else {
      pieces.push([name]);
      room = NAMES_LIMIT - name.length;
    }
  }
  return pieces;
}

// --- facts ---

function factsOf(event: DeliveryEvent, incident: Incident, now: Date): MessageField[] {
  const { detail, job } = incident;
  if (event === "resolved") return factsOfEnd(incident, now);
  const fields = [...timing(incident, now), ...lastSuccessOf(incident, now)];
  if ((detail.consecutiveFailures ?? 0) > 1) {
    fields.push({ label: "Failures in a row", value: String(detail.consecutiveFailures) });
  }
  if ((detail.missedSlots ?? 0) > 1) {
    fields.push({ label: "Slots missed", value: String(detail.missedSlots) });
  }
  if (detail.also?.length) fields.push({ label: "Also", value: detail.also.map(sentence).join(" ") });
  if (detail.heldJobs?.length) fields.push({ label: "Overdue jobs", value: heldJobs(detail.heldJobs) });
  for (const { label, value } of detail.facts ?? []) fields.push({ label, value });
  return job === null ? fields : [...fields, ...factsOfJob(job, incident.severity)];
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

/** What the inventory and its annotations say. */
function factsOfJob(job: IncidentJob, severity: Severity): MessageField[] {
  const fields: MessageField[] = [];
  if (job.schedule !== null) {
    const user = job.jobUser === null ? "" : ` as ${oneLine(job.jobUser)}`;
    fields.push({ label: "Schedule", value: `${oneLine(job.schedule)}${user}` });
  }
  fields.push(ownerField(job));
  fields.push({ label: "Criticality", value: job.criticality ?? `not set, taken as ${severity}` });
  if (job.description) fields.push({ label: "What it does", value: clean(job.description) });
  if (job.successCriteria) fields.push({ label: "It worked when", value: clean(job.successCriteria) });
  const runbook = job.runbookUrl?.trim() ?? "";
  // a link that is not https is told, not linked
  if (runbook !== "" && httpsUrl(runbook) === null) {
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

function timeField(label: string, at: Date, now?: Date): MessageField {
  return { label, value: now === undefined ? formatUtc(at) : `${formatUtc(at)} (${ago(at, now)})`, at };
}

function ago(at: Date, now: Date): string {
  const passed = now.getTime() - at.getTime();
  return passed < 0 ? `in ${formatDuration(-passed)}` : `${formatDuration(passed)} ago`;
}

function excerptOf(event: DeliveryEvent, incident: Incident): string | null {
  // twice what is shown: redaction comes after, and may shorten
  const text = clean((incident.detail.errorMessage ?? "").slice(0, 2 * EXCERPT_LIMIT)).trim();
  return event === "resolved" || text === "" ? null : text;
}

function stripOf(runs: readonly RecentRun[]): string | null {
  const signs = runs.slice(-STRIP_RUNS).map((run) => RUN_SIGNS[run.status]);
  return signs.length === 0 ? null : signs.join("");
}

// --- links ---

function linksOf(incident: Incident): Message["links"] {
  const runbook = httpsUrl(incident.job?.runbookUrl?.trim() ?? "");
  const links = dashboardLinks([incident]);
  return runbook === null ? links : [{ label: "Runbook", url: runbook }, ...links];
}

function dashboardLinks(incidents: readonly Incident[]): Message["links"] {
  const links = new Map<string, string>();
  for (const incident of incidents) {
    const url = dashboardUrl(incident);
    if (url === null || links.size >= 5) continue;
    links.set(url, incidents.length === 1 ? "Dashboard" : `Dashboard of ${oneLine(incident.projectName)}`);
  }
  return [...links].map(([url, label]) => ({ label, url }));
}

/** The page of Supabase's dashboard that shows the subject; `null` where the project's ref is unknown. */
function dashboardUrl(incident: Incident): string | null {
  if (incident.projectId === null || !/^[a-z0-9-]{1,64}$/i.test(incident.projectId)) return null;
  const project = `https://supabase.com/dashboard/project/${incident.projectId}`;
  if (incident.job?.jobType === "pg_cron") return `${project}/integrations/cron/jobs`;
  if (incident.job?.jobType === "edge_function") return `${project}/functions`;
  return project;
}

/** The URL as written in full, or `null` for anything that is not a plain https address. */
function httpsUrl(text: string): string | null {
  if (text.length > 1_000 || !URL.canParse(text)) return null;
  const url = new URL(text);
  return url.protocol === "https:" && url.username === "" && url.password === "" ? url.href : null;
}

function dateOf(iso: string | null | undefined): Date | null {
  if (typeof iso !== "string") return null;
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? null : at;
}
