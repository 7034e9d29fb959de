/** What open incidents owe at this tick: a first word, a reminder, an escalation; and what follows from failures. */
import type { AlertRoute, NewsEvent } from "../domain/delivery.ts";
import type { PolicyDelivery, PolicyIncident } from "../domain/policy.ts";
import { fallbackRow } from "./reroute.ts";
import {
  escalatesTo,
  hearsOf,
  nameOfRow,
  onePerTarget,
  routeAlert,
  routeNews,
  sharesTarget,
  takes,
} from "./routing.ts";
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
  const own = outlook.routes.find((row) => row.id === incident.subjectId);
  const routes = incident.subjectKind === "channel"
    ? outlook.routes.filter((row) => (own === undefined || !sharesTarget(row, own)) && outlook.usable(row))
    : outlook.routes;
  const routed = routeAlert(incident, routes);
  const fallback = routed.length > 0 || own === undefined
    ? null
    : fallbackRow({ ...incident, event: "opened" }, routes, outlook.usable);
  return onePerTarget(
    [...routed, ...fallback === null ? [] : [fallback]].filter((row) => hearsOf(row, "opened")),
  )
    .map((row) => owed(row, "opened", incident, { whileOpen: true }));
}

/** An open incident that has become graver than ever: at once to the rows of its new severity, acknowledged or not. */
export function owedRaises(incident: PolicyIncident, { routes }: Outlook): Owed[] {
  const { raised } = incident;
  if (!lasts(incident) || !incident.owed || raised === null) return [];
  const note = `Its severity was raised from ${raised.from} to ${incident.severity}`;
  return routeNews({ ...incident, event: "opened" }, routes)
    .filter((row) => !knowsRaise(incident, targetTold(incident, row, routes)))
    .map((row) => owed(row, "opened", incident, { whileOpen: true, note }));
}

/** Whether what a target was told last, or is about to be, is as young as the severity. */
function knowsRaise({ raised }: PolicyIncident, told: Told | undefined): boolean {
  return raised === null || (told?.newsAt ?? -Infinity) >= raised.at;
}

/** Reminders to rows that were told, or would be today, and have heard nothing for as long as they want. */
export function owedReminders(incident: PolicyIncident, { routes, now }: Outlook): Owed[] {
  if (!lasts(incident) || incident.acknowledgedBy !== null) return [];
  const routed = new Set(routeNews({ ...incident, event: "reminder" }, routes).map(({ id }) => id));
  return routes.flatMap((row) => {
    if (!row.enabled || row.repeatMinutes === 0 || !hearsOf(row, "reminder")) return [];
    if (toldBy(incident, row)?.heard !== true && !routed.has(row.id)) return [];
    const told = targetTold(incident, row, routes);
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
  const told = heard.length === 0 ? incident.openedAt : Math.min(...heard);
  // nobody had to hurry before it was critical
  const since = Math.max(told, incident.raised?.at ?? 0);
  return routes
    .filter((row) => takes(row, incident) && escalatesTo(row, incident.severity) && hearsOf(row, "opened"))
    .filter((row) => now - since >= (row.escalationMinutes ?? 0) * MINUTE_MS)
    .filter((row) => {
      const told = targetTold(incident, row, routes);
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
      const own = toldBy(incident, row);
      const told = targetTold(incident, row, routes);
      return own?.heard === true && own.failed === 0 && told?.live.includes("resolved") !== true;
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
  const tells = (other: AlertRoute) => other.enabled && outlook.usable(other) && !sharesTarget(other, row);
  if (
    outlook.routes.some((other) =>
      tells(other) && (covered(other) || wasTold(incident, other, event, outlook))
    )
  ) {
    return { kind: "covered" };
  }
  const message = failedDelivery?.refused === "message";
  // what was refused for what it says would be refused again
  const again = failedDelivery !== null && !message && (toldBy(incident, row)?.failed ?? 0) <= OWN_RETRIES;
  const target = fallbackRow(
    { ...incident, event },
    outlook.routes.filter((other) =>
      other.id === row.id ? again : !sharesTarget(other, row) && other.id !== incident.subjectId
    ),
    outlook.usable,
  );
  if (target === null) return { kind: "wait" };
  const why = message
    ? `${nameOfRow(row)} refused this message`
    : `Alerts no longer get through ${nameOfRow(row)}`;
  const note = target.id === row.id ? null : `${why}: ${reason}`;
  const needs = failedDelivery === null ? [] : [failedDelivery.id];
  return {
    kind: "owe",
    owed: owed(target, event, incident, { note, needs, whileOpen: event === "reminder" }),
  };
}

function wasTold(incident: PolicyIncident, row: AlertRoute, event: NewsEvent, outlook: Outlook): boolean {
  return tells(targetTold(incident, row, outlook.routes), { incident, row, event }, outlook.now);
}

/**
 * Whether what was told, or is due, is this news. Reminders come again and again, so only a late one counts. A beginning
 * is news again when it becomes graver.
 */
export function tells(
  told: Told | undefined,
  { incident, row, event }: { incident: PolicyIncident; row: AlertRoute; event: NewsEvent },
  now: number,
): boolean {
  if (told === undefined) return false;
  if (event === "opened") return told.live.includes(event) && knowsRaise(incident, told);
  if (event === "resolved") return told.live.includes(event);
  return told.due.includes("reminder") ||
    (told.lastAt !== null && now - told.lastAt < Math.max(row.repeatMinutes, 5) * MINUTE_MS);
}

type Told = PolicyIncident["told"][number];

/** What a row was told of an incident. */
export function toldBy(incident: PolicyIncident, row: { id: string }): Told | undefined {
  return incident.told.find((told) => told.row === row.id);
}

/** What a row's target was told of an incident, through whichever row. */
export function targetTold(
  incident: PolicyIncident,
  row: AlertRoute,
  routes: readonly AlertRoute[],
): Told | undefined {
  const rows = new Set(routes.filter((other) => sharesTarget(other, row)).map(({ id }) => id));
  const [first, ...others] = incident.told.filter((told) => told.row === row.id || rows.has(told.row));
  return first === undefined ? undefined : others.reduce(bothTold, first);
}

function bothTold(a: Told, b: Told): Told {
  return {
    row: a.row,
    heard: a.heard || b.heard,
    firstAt: earliest(a.firstAt, b.firstAt),
    lastAt: latest(a.lastAt, b.lastAt),
    live: [...new Set([...a.live, ...b.live])],
    due: [...new Set([...a.due, ...b.due])],
    failed: a.failed + b.failed,
    newsAt: latest(a.newsAt, b.newsAt),
  };
}

function earliest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? a ?? b : Math.min(a, b);
}

function latest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? a ?? b : Math.max(a, b);
}

function lasts({ resolvedAt, severity }: PolicyIncident): boolean {
  return resolvedAt === null && severity !== "info";
}

function owed(row: AlertRoute, event: NewsEvent, incident: PolicyIncident, over: Partial<Owed>): Owed {
  return { row, event, note: null, incident, whileOpen: false, unacknowledged: false, needs: [], ...over };
}
