/** Builders of what the alert policy decides from: every test names only what it is about. */
import type {
  PolicyDecision,
  PolicyDelivery,
  PolicyIncident,
  PolicyView,
  RestlessSubject,
  Silence,
} from "../../supabase/functions/_shared/domain/policy.ts";
import { decidePolicy } from "../../supabase/functions/_shared/rules/alert_policy.ts";
import { alertRow } from "./alerts.ts";
import { HOUR, NOON } from "./facts.ts";

/** An important incident of `sync_leads`, ten minutes old, that nobody was told of although it is owed. */
export function policyIncident(over: Partial<PolicyIncident> = {}): PolicyIncident {
  const { id = "incident" } = over;
  return {
    id,
    projectName: "smoothed",
    subjectKind: "job",
    subjectId: `job of ${id}`,
    jobName: "sync_leads",
    alertChannel: null,
    code: "failed",
    severity: "important",
    raised: null,
    openedAt: NOON - HOUR / 6,
    resolvedAt: null,
    acknowledgedBy: null,
    quietUntil: null,
    owed: true,
    told: [],
    ...over,
  };
}

/** What row `row` was told, and when. */
export function told(
  row: string,
  at: number,
  over: Partial<PolicyIncident["told"][number]> = {},
): PolicyIncident["told"][number] {
  return {
    row,
    heard: true,
    firstAt: at,
    lastAt: at,
    live: ["opened"],
    due: [],
    failed: 0,
    newsAt: at,
    ...over,
  };
}

/** An opening for row `a` that the policy has not looked at. */
export function policyDelivery(over: Partial<PolicyDelivery> = {}): PolicyDelivery {
  return {
    id: "delivery",
    row: "a",
    event: "opened",
    note: null,
    createdAt: NOON,
    admitted: false,
    heldReason: null,
    attempts: 0,
    uncertain: false,
    failed: false,
    refused: null,
    lastError: null,
    incidents: ["incident"],
    ...over,
  };
}

/** A silence of everything from now on for an hour. */
export function silence(over: Partial<Silence> = {}): Silence {
  return {
    id: "silence",
    projectName: null,
    jobPattern: "*",
    startsAt: NOON - HOUR,
    endsAt: NOON + HOUR,
    schedule: null,
    durationMinutes: null,
    timeZone: "UTC",
    createdBy: "dana",
    reason: "migration",
    ...over,
  };
}

/** A job that opened and recovered twice within the hour. */
export function restless(over: Partial<RestlessSubject> = {}): RestlessSubject {
  return {
    subjectKind: "job",
    subjectId: "job of incident",
    changes: 4,
    lastAt: NOON,
    severities: ["important"],
    codes: ["failed"],
    projectName: "smoothed",
    jobInventoryId: "job of incident",
    jobName: "sync_leads",
    alertChannel: null,
    ...over,
  };
}

/** One row `a` that takes everything, and nothing else. */
export function policyView(over: Partial<PolicyView> = {}): PolicyView {
  return {
    version: 7,
    flappingChanges: 4,
    flappingMinutes: 60,
    routes: [alertRow("a")],
    silences: [],
    incidents: [],
    deliveries: [],
    admittedRecently: {},
    restless: [],
    strayRequests: [],
    strayProjects: [],
    ...over,
  };
}

/** Decides at noon unless told otherwise; new ids are `new 1`, `new 2`, … */
export function decideAt(view: PolicyView, now = NOON): PolicyDecision {
  let made = 0;
  return decidePolicy(view, { now, hubProjectName: "thordata", newId: () => `new ${++made}` });
}
