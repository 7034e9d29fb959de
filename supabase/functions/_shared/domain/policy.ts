/** What the alert policy decides from, and what it decides. Instants are epoch milliseconds. */
import { z } from "zod";
import { severity } from "./job.ts";
import type { Severity } from "./job.ts";
import { type IncidentDetail, subjectKind } from "./incident.ts";
import type { SubjectKind } from "./incident.ts";
import { alertRoute, newsEvent, refusalSubject } from "./delivery.ts";
import type { NewsEvent } from "./delivery.ts";

/** A silence that has begun and not ended, as its row says; with a schedule it may still be between two times. */
export const silence = z.object({
  id: z.string(),
  /** `null`: every project. */
  projectName: z.string().nullable(),
  /** `*` any text, `?` one character, `\` before either for itself. */
  jobPattern: z.string(),
  startsAt: z.number(),
  endsAt: z.number().nullable(),
  /** Cron, five fields; comes with `durationMinutes`. */
  schedule: z.string().nullable(),
  durationMinutes: z.number().nullable(),
  timeZone: z.string(),
  createdBy: z.string(),
  reason: z.string(),
});
export type Silence = z.infer<typeof silence>;

/** What one row of `alert_config` was told of an incident. */
export const toldRow = z.object({
  row: z.string(),
  /** The vendor has an opening or a reminder, or may have it. */
  heard: z.boolean(),
  firstAt: z.number().nullable(),
  lastAt: z.number().nullable(),
  /** Events of deliveries that are due or sent. */
  live: z.array(z.string()),
  /** Events of those that are due. */
  due: z.array(z.string()),
  /** How many deliveries its vendor refused for good. */
  failed: z.number(),
  /** When the newest opening or reminder was owed or let through. */
  newsAt: z.number().nullable(),
});

/** An incident as far as the policy needs it. */
export const policyIncident = z.object({
  id: z.string(),
  projectName: z.string(),
  subjectKind,
  subjectId: z.string(),
  jobName: z.string().nullable(),
  /** The row or channel that its job asks for. */
  alertChannel: z.string().nullable(),
  code: z.string(),
  severity,
  /** When it became graver than it had ever been, and from what; `null`: never, or it is less grave again. */
  raised: z.object({ at: z.number(), from: severity }).nullable(),
  openedAt: z.number(),
  resolvedAt: z.number().nullable(),
  acknowledgedBy: z.string().nullable(),
  /** Neither its beginning nor a reminder is told before. */
  quietUntil: z.number().nullable(),
  /** Whether any delivery was ever owed of it, whatever became of it. */
  owed: z.boolean(),
  told: z.array(toldRow),
});
export type PolicyIncident = z.infer<typeof policyIncident>;

/** A delivery that waits, or that failed and was not followed up. */
export const policyDelivery = z.object({
  id: z.string(),
  /** Id in `alert_config`. */
  row: z.string(),
  event: newsEvent,
  note: z.string().nullable(),
  createdAt: z.number(),
  /** Let through before: only ending it is still possible. */
  admitted: z.boolean(),
  heldReason: z.string().nullable(),
  attempts: z.number(),
  /** The vendor may have it although it never said so. */
  uncertain: z.boolean(),
  failed: z.boolean(),
  /** What its vendor refused it for, where it failed; a `message` may do no better on a second try. */
  refused: refusalSubject.nullable(),
  lastError: z.string().nullable(),
  incidents: z.array(z.string()),
});
export type PolicyDelivery = z.infer<typeof policyDelivery>;

/** A subject whose incidents opened and recovered within the flapping window. */
export const restlessSubject = z.object({
  subjectKind,
  subjectId: z.string(),
  changes: z.number(),
  lastAt: z.number(),
  severities: z.array(severity),
  codes: z.array(z.string()),
  projectName: z.string(),
  jobInventoryId: z.string().nullable(),
  jobName: z.string().nullable(),
  alertChannel: z.string().nullable(),
});
export type RestlessSubject = z.infer<typeof restlessSubject>;

/** Everything at one instant. Rows that people write are read one by one, so that a bad one is a fault, not the end. */
export const policyView = z.object({
  version: z.number(),
  /** 0: nothing ever counts as flapping. */
  flappingChanges: z.number(),
  flappingMinutes: z.number(),
  routes: z.array(alertRoute),
  silences: z.array(silence),
  incidents: z.array(policyIncident),
  deliveries: z.array(policyDelivery),
  /** Messages let through within the breaker's window, by row. */
  admittedRecently: z.record(z.string(), z.number()),
  restless: z.array(restlessSubject),
  /** Values of `job_inventory.alert_channel` that name no enabled row. */
  strayRequests: z.array(z.string()),
  /** Values of `alert_config.project_name` that name no project. */
  strayProjects: z.array(z.string()),
});
export type PolicyView = z.infer<typeof policyView>;

/** An incident of the policy's own: a restless subject, a dead channel. */
export interface PolicyOpening {
  id: string;
  projectName: string;
  subjectKind: SubjectKind;
  subjectId: string;
  jobInventoryId: string | null;
  code: string;
  severity: Severity;
  summary: string;
  detail: IncidentDetail;
}

/** A delivery to make. */
export interface CreatedDelivery {
  id: string;
  alertConfigId: string;
  event: NewsEvent;
  note: string | null;
  /** Age that decides its place; `null`: now. */
  createdAt: number | null;
  admitted: boolean;
  heldReason: string | null;
  /** Set for a part that is cut off to be cancelled: why. */
  cancelled: string | null;
  /** Only of incidents that are still unresolved when it is written. */
  whileOpen: boolean;
  /** Only of incidents that nobody has acknowledged when it is written. */
  unacknowledged: boolean;
  incidents: string[];
  /** Deliveries that must be free, or it is not made. */
  needs: string[];
}

/** What becomes of a delivery that waits. */
export type SettledDelivery =
  & {
    id: string;
    /** Only if this delivery was made; `null`: in any case. */
    into: string | null;
  }
  & ({ fate: "admit" } | {
    fate: "hold" | "cancel";
    reason: string;
    /** Only while nobody sends these, or has sent them since the look. */
    needs?: string[];
  });

/** What one tick decided. */
export interface PolicyDecision {
  version: number;
  now: number;
  /** Rows whose channel takes nothing, and why. */
  dead: { alertConfigId: string; reason: string }[];
  open: PolicyOpening[];
  /** Ids of the policy's own incidents that are over. */
  resolve: string[];
  create: CreatedDelivery[];
  /** Incidents that leave a delivery for one of those made. */
  remove: { deliveryId: string; incidentId: string; into: string }[];
  settle: SettledDelivery[];
  /** Failed deliveries of which it is decided what follows. */
  follow: { id: string; into: string | null }[];
  /** What is wrong with what people wrote, a sentence each. */
  faults: string[];
}
