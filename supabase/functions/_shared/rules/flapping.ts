/** Flapping: a subject that keeps failing and recovering is told of once, until it is calm. */
import type { PolicyIncident, PolicyOpening, RestlessSubject } from "../domain/policy.ts";
import { incidentOf } from "./channel_health.ts";
import { worstSeverity } from "./routing.ts";

const CODE = "flapping";

/** Which subjects flap. */
export interface Flapping {
  opened: { opening: PolicyOpening; incident: PolicyIncident }[];
  /** Flapping incidents whose subject has been calm for the window. */
  ended: PolicyIncident[];
  /** Whether an incident is told of as flapping at present. */
  covers(incident: PolicyIncident): boolean;
}

/** What {@link judgeFlapping} judges from. */
export interface FlappingFacts {
  restless: readonly RestlessSubject[];
  incidents: readonly PolicyIncident[];
  /** Changes within the window that count as flapping; 0: never. */
  changes: number;
  /** The window. */
  minutes: number;
  now: number;
  newId: () => string;
}

/** Opens an incident for each subject that has begun to flap, and ends those of subjects that are calm. */
export function judgeFlapping(facts: FlappingFacts): Flapping {
  const { restless, incidents, changes, now } = facts;
  const known = incidents.filter(({ code, resolvedAt }) => code === CODE && resolvedAt === null);
  const knownSubjects = new Set(known.map(subjectOf));
  const stirring = new Set(restless.map(subjectOf));
  const opened = restless
    .filter((subject) => changes > 0 && subject.changes >= changes && !knownSubjects.has(subjectOf(subject)))
    .map((subject) => {
      const opening = openingOf(subject, facts);
      return { opening, incident: incidentOf(opening, now, subject.jobName, subject.alertChannel) };
    });
  const ended = known.filter((incident) => !stirring.has(subjectOf(incident)));
  const over = new Set(ended.map(subjectOf));
  const flapping = new Set(
    [...knownSubjects, ...opened.map(({ incident }) => subjectOf(incident))].filter((key) => !over.has(key)),
  );
  return {
    opened,
    ended,
    covers: (incident) => incident.code !== CODE && flapping.has(subjectOf(incident)),
  };
}

function openingOf(subject: RestlessSubject, { minutes, newId }: FlappingFacts): PolicyOpening {
  const { projectName, subjectKind, subjectId, jobInventoryId, codes, severities, changes } = subject;
  const what = codes.map((code) => code.replaceAll("_", " ")).sort().join(", ");
  return {
    id: newId(),
    ...{ projectName, subjectKind, subjectId, jobInventoryId },
    code: CODE,
    severity: worstSeverity(severities),
    summary: `it changed ${changes} times within ${minutes} minutes between ${what} and well`,
    detail: { cause: `Single changes are not told until nothing has changed for ${minutes} minutes` },
  };
}

function subjectOf({ subjectKind, subjectId }: Pick<PolicyIncident, "subjectKind" | "subjectId">): string {
  return `${subjectKind} ${subjectId}`;
}
