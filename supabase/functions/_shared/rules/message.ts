/** What an alert says: verdict and cause first, then the facts, then where to look. */
import type { DeliveryEvent, Message, MessageField, MessageSubject, Thread } from "../domain/delivery.ts";
import type { Incident } from "../domain/incident.ts";
import type { RecentRun } from "../domain/run.ts";
import { ago, factsOf, timeField } from "./message_facts.ts";
import { dashboardLinks, linksOf } from "./message_links.ts";
import { redact } from "./redact.ts";
import { SEVERITY_ORDER, worstSeverity } from "./routing.ts";
import { clean, cut, dateOf, formatDuration, formatUtc, oneLine, sentence } from "./text.ts";

/** Incidents that a message tells of one by one; the others are named in its last fields. */
const TOP_INCIDENTS = 8;
/** With more incidents than this, a message is a list of names, and the worst stands for them. */
const LIST_INCIDENTS = 30;
/** Characters of a field of names: a channel that escapes every third of them does not cut it. */
const NAMES_LIMIT = 300;
/** Characters of a job's own error that a message carries at most. */
const EXCERPT_LIMIT = 100_000;
/** Characters of it in the plain twin. */
const PLAIN_EXCERPT_LIMIT = 2_000;
/** Characters of an error that a cause may hold all of. */
const LONGEST_IN_CAUSE = 1_000;
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
  if (input.event === "test" || first === undefined) return redacted(testMessage(input));
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
    excerpt: excerpt !== null && holds(cause, excerpt) ? null : excerpt,
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
    return { label, value: lineOf(event, incident, now, shared.summary), incidents: 1 };
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
    title: titleOfMany(event, incidents),
    cause: causeOfMany(event, incidents, shared.summary),
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

function testMessage({ now, note }: MessageInput): Message {
  return {
    event: "test",
    severity: "info",
    title: "TEST: alerts reach this channel",
    cause: "Nothing is wrong. Somebody asked Supabase Job Monitor for a test alert.",
    fields: [...note ? [{ label: "Why here", value: note }] : [], timeField("Sent", now)],
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

function titleOfMany(event: DeliveryEvent, incidents: Incident[]): string {
  const shared = sharedBy(event, incidents);
  const head = shared.verdict ?? countsOf(incidents.map((incident) => verdictOf(event, incident)));
  const subjects = new Set(incidents.map((incident) => `${incident.subjectId} ${whereOf(incident)}`)).size;
  const eachAJob = subjects === incidents.length &&
    incidents.every(({ subjectKind }) => subjectKind === "job");
  const what = eachAJob ? "jobs" : "incidents";
  const projects = new Set(incidents.map((incident) => incident.projectName)).size;
  const where = shared.project ?? `${projects} projects`;
  return `${head}: ${incidents.length} ${what} in ${where}${
    event === "resolved" ? "" : ` · ${severitiesOf(incidents)}`
  }`;
}

/** `critical`, or `1 critical, 44 important`. */
function severitiesOf(incidents: Incident[]): string {
  const counted = SEVERITY_ORDER.flatMap((severity) => {
    const count = incidents.filter((incident) => incident.severity === severity).length;
    return count === 0 ? [] : [{ severity, count }];
  });
  const [first, ...others] = counted;
  if (first === undefined || others.length === 0) return first?.severity ?? "info";
  return counted.map(({ severity, count }) => `${count} ${severity}`).join(", ");
}

function causeOfMany(event: DeliveryEvent, incidents: Incident[], summary: string | null): string {
  const order = incidents.length > shownOf(incidents)
    ? "The worst first, the others by name."
    : "The worst first.";
  if (event !== "resolved") {
    return summary === null ? order : `The same for each: ${sentence(summary)} ${order}`;
  }
  return `It was: ${countsOf(incidents.map(({ code }) => oneLine(code).replaceAll("_", " ")))}. ${order}`;
}

/** What all of them have in common, so that it is said once. */
function sharedBy(
  event: DeliveryEvent,
  incidents: Incident[],
): { verdict: string | null; project: string | null; summary: string | null } {
  const only = (values: string[]) => new Set(values).size === 1 ? values[0] ?? null : null;
  return {
    verdict: only(incidents.map((incident) => verdictOf(event, incident))),
    project: only(incidents.map((incident) => oneLine(incident.projectName))),
    summary: only(incidents.map((incident) => oneLine(incident.summary))),
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

function outageOf(incident: Incident): string | null {
  const opened = dateOf(incident.openedAt);
  const resolved = dateOf(incident.resolvedAt);
  return opened === null || resolved === null ? null : formatDuration(resolved.getTime() - opened.getTime());
}

/** One incident among many, on one line. */
function lineOf(event: DeliveryEvent, incident: Incident, now: Date, shared: string | null): string {
  const opened = dateOf(incident.openedAt);
  const parts = event !== "resolved" && shared !== null ? [] : [cut(sentence(incident.summary), 200)];
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

// --- what the job said, and how it went ---

function excerptOf(event: DeliveryEvent, incident: Incident): string | null {
  // twice what is shown: redaction comes after, and may shorten
  const text = clean((incident.detail.errorMessage ?? "").slice(0, 2 * EXCERPT_LIMIT)).trim();
  return event === "resolved" || text === "" ? null : text;
}

/** Whether a cause says all of an excerpt; which begins with a capital and holds no secret. */
function holds(cause: string, excerpt: string): boolean {
  if (excerpt.length > LONGEST_IN_CAUSE) return false;
  return redact(cause).toLowerCase().includes(redact(oneLine(excerpt)).toLowerCase());
}

function stripOf(runs: readonly RecentRun[]): string | null {
  const signs = runs.slice(-STRIP_RUNS).map((run) => RUN_SIGNS[run.status]);
  return signs.length === 0 ? null : signs.join("");
}
