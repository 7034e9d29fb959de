/** What open incidents owe at this tick: a first word, a reminder, an escalation; and what follows from failures. */
import type { AlertRoute, NewsEvent } from "../domain/delivery.ts";
import type { PolicyDelivery, PolicyIncident } from "../domain/policy.ts";
import { fallbackRow } from "./reroute.ts";
import { escalatesTo, hearsOf, nameOfRow, routeAlert, takes } from "./routing.ts";
import { formatDuration } from "./text.ts";

const MINUTE_MS = 60_000;
/** How often a row that works again gets what its vendor had refused for good: the message itself may be at fault. */
const OWN_RETRIES = 5;

/** News that a row is to get. */
export interface Owed {
  row: AlertRoute;
  event: NewsEvent;
  note: string | null;
  incident: PolicyIncident;
  /** Written only if the incident is still unresolved then. */
  whileOpen: boolean;
  /** Written only if nobody has acknowledged it by then. */
  unacknowledged: boolean;
  /** The failed delivery that this makes up for. */
  needs: string[];
}

/** What these rules look at. */
export interface Outlook {
  routes: readonly AlertRoute[];
  now: number;
  usable(row: AlertRoute): boolean;
}

/** An open incident that nobody was ever owed a word of: one that the policy opened, or that was no more than info. */
export function owedOpenings(incident: PolicyIncident, outlook: Outlook): Owed[] {
  if (!lasts(incident) || incident.owed) return [];
  const routes = incident.subjectKind === "channel"
    ? outlook.routes.filter((row) => row.id !== incident.subjectId && outlook.usable(row))
    : outlook.routes;
  const routed = routeAlert(incident, routes);
  const own = outlook.routes.filter((row) => row.id === incident.subjectId);
  const fallback = routed.length > 0 || own.length === 0
    ? null
    : fallbackRow({ ...incident, event: "opened" }, routes, outlook.usable);
  return [...routed, ...fallback === null ? [] : [fallback]]
    .filter((row) => hearsOf(row, "opened"))
    .map((row) => owed(row, "opened", incident, { whileOpen: true }));
}

/** Reminders to rows that were told, or would be today, and have heard nothing for as long as they want. */
export function owedReminders(incident: PolicyIncident, { routes, now }: Outlook): Owed[] {
  if (!lasts(incident) || incident.acknowledgedBy !== null) return [];
  const routed = new Set(routeAlert(incident, routes).map(({ id }) => id));
  return routes.flatMap((row) => {
    if (!row.enabled || row.repeatMinutes === 0 || !hearsOf(row, "reminder")) return [];
    const told = toldBy(incident, row);
    if (told?.heard !== true && !routed.has(row.id)) return [];
    if (told?.due.some((event) => event !== "resolved")) return [];
    const since = told?.lastAt ?? incident.openedAt;
    if (now - since < row.repeatMinutes * MINUTE_MS) return [];
    return [owed(row, "reminder", incident, { whileOpen: true, unacknowledged: true })];
  });
}

/** Critical incidents that nobody has acknowledged in time, to the rows that are there for it. */
export function owedEscalations(incident: PolicyIncident, { routes, now }: Outlook): Owed[] {
  if (!lasts(incident) || incident.acknowledgedBy !== null) return [];
  const heard = incident.told.flatMap(({ firstAt }) => firstAt === null ? [] : [firstAt]);
  const since = heard.length === 0 ? incident.openedAt : Math.min(...heard);
  return routes
    .filter((row) => takes(row, incident) && escalatesTo(row, incident.severity) && hearsOf(row, "opened"))
    .filter((row) => now - since >= (row.escalationMinutes ?? 0) * MINUTE_MS)
    .filter((row) => {
      const told = toldBy(incident, row);
      return told === undefined || (!told.heard && told.live.length === 0 && told.failed === 0);
    })
    .map((row) => {
      const note = `Nobody has acknowledged it for ${formatDuration(now - since)}`;
      return owed(row, "opened", incident, { whileOpen: true, unacknowledged: true, note });
    });
}

/** Its end, to rows that were told of it and are owed nothing yet: by escalation or in a dead channel's stead. */
export function owedRecoveries(incident: PolicyIncident, { routes }: Outlook): Owed[] {
  if (incident.resolvedAt === null) return [];
  return routes
    .filter((row) => row.enabled && hearsOf(row, "resolved"))
    .filter((row) => {
      const told = toldBy(incident, row);
      return told?.heard === true && !told.live.includes("resolved") && told.failed === 0;
    })
    .map((row) => owed(row, "resolved", incident, {}));
}

/** What follows from a row's failure for one incident of the delivery. */
export type Follow = { kind: "owe"; owed: Owed } | { kind: "covered" } | { kind: "over" } | { kind: "wait" };

/**
 * Where news goes whose row cannot deliver it: nowhere while another row tells the same, or once it is old; else to the
 * next row that fits. A row that works again gets what it failed.
 *
 * @param covered Whether a row tells this at this tick.
 */
export function followFailure(
  failure: { row: AlertRoute; event: NewsEvent; failedDelivery: PolicyDelivery | null; reason: string },
  incident: PolicyIncident,
  outlook: Outlook,
  covered: (row: AlertRoute) => boolean,
): Follow {
  const { row, event, failedDelivery, reason } = failure;
  if (event !== "resolved" && incident.resolvedAt !== null && incident.resolvedAt > incident.openedAt) {
    return { kind: "over" };
  }
  // its own row has told it since, or is about to
  if (failedDelivery !== null && (covered(row) || wasTold(incident, row, event, outlook))) {
    return { kind: "covered" };
  }
  const tells = (other: AlertRoute) => other.enabled && outlook.usable(other) && other.id !== row.id;
  if (
    outlook.routes.some((other) =>
      tells(other) && (covered(other) || wasTold(incident, other, event, outlook))
    )
  ) {
    return { kind: "covered" };
  }
  const again = failedDelivery !== null && (toldBy(incident, row)?.failed ?? 0) <= OWN_RETRIES;
  const target = fallbackRow(
    { ...incident, event },
    outlook.routes.filter((other) => (other.id !== row.id || again) && other.id !== incident.subjectId),
    outlook.usable,
  );
  if (target === null) return { kind: "wait" };
  const note = target.id === row.id ? null : `Alerts no longer get through ${nameOfRow(row)}: ${reason}`;
  const needs = failedDelivery === null ? [] : [failedDelivery.id];
  return {
    kind: "owe",
    owed: owed(target, event, incident, { note, needs, whileOpen: event === "reminder" }),
  };
}

/** Reminders come again and again, so only a late one counts. */
function wasTold(incident: PolicyIncident, row: AlertRoute, event: NewsEvent, { now }: Outlook): boolean {
  const told = toldBy(incident, row);
  if (told === undefined) return false;
  if (event !== "reminder") return told.live.includes(event);
  return told.due.includes("reminder") ||
    (told.lastAt !== null && now - told.lastAt < Math.max(row.repeatMinutes, 5) * MINUTE_MS);
}

/** What a row was told of an incident. */
export function toldBy(
  incident: PolicyIncident,
  row: { id: string },
): PolicyIncident["told"][number] | undefined {
  return incident.told.find((told) => told.row === row.id);
}

function lasts({ resolvedAt, severity }: PolicyIncident): boolean {
  return resolvedAt === null && severity !== "info";
}

function owed(row: AlertRoute, event: NewsEvent, incident: PolicyIncident, over: Partial<Owed>): Owed {
  return { row, event, note: null, incident, whileOpen: false, unacknowledged: false, needs: [], ...over };
}
