/**
 * The alert policy: what one tick makes of the incidents and deliveries there are. Pure: what it decides, one SQL
 * function writes. Order: what is owed now → what becomes of each piece of news (dropped with a reason, held, moved to
 * another row, sent) → how many messages that makes.
 */
import type { AlertRoute } from "../domain/delivery.ts";
import type { PolicyDecision, PolicyDelivery, PolicyIncident, PolicyView } from "../domain/policy.ts";
import { type ChannelHealth, judgeChannels } from "./channel_health.ts";
import { type Flapping, judgeFlapping } from "./flapping.ts";
import {
  followFailure,
  type Outlook,
  type Owed,
  owedEscalations,
  owedOpenings,
  owedRaises,
  owedRecoveries,
  owedReminders,
  targetTold,
  tells,
  toldBy,
} from "./owed_now.ts";
import { type Line, writeLines } from "./policy_lines.ts";
import { isQuietZone, quietUntil, wallClock } from "./quiet_hours.ts";
import { nameOfRow, routeAlert, sharesTarget } from "./routing.ts";
import { type ActiveSilence, activeSilences } from "./silences.ts";
import { formatUtc } from "./text.ts";

/** What {@link decidePolicy} needs besides what is stored. */
export interface PolicyContext {
  /** Epoch milliseconds. */
  now: number;
  hubProjectName: string;
  /** Makes ids of incidents and deliveries. */
  newId: () => string;
}

/** Everything that the rules of one tick share. */
interface Tick extends Outlook {
  view: PolicyView;
  context: PolicyContext;
  health: ChannelHealth;
  flapping: Flapping;
  silences: ActiveSilence[];
  incidents: Map<string, PolicyIncident>;
  rows: Map<string, AlertRoute>;
  lines: Line[];
  /** News that a target has or gets, by {@link keyOf}. */
  claimed: Set<string>;
  /** Of several deliveries of one piece of news for one target, the one that tells it, by {@link keyOf}. */
  tellers: Map<string, Line>;
  /** Failed deliveries that are done with, and what makes up for them. */
  follow: { id: string; line: Line | null }[];
  /** When quiet hours end, by id of the row. */
  quiet: Map<string, number | null>;
  /** Why it is silenced, by id of the incident. */
  silenced: Map<string, string | null>;
}

/** Decides one tick. */
export function decidePolicy(view: PolicyView, context: PolicyContext): PolicyDecision {
  const { now, newId } = context;
  const health = judgeChannels({ ...view, ...context });
  const flapping = judgeFlapping({
    ...view,
    changes: view.flappingChanges,
    minutes: view.flappingMinutes,
    now,
    newId,
  });
  const silences = activeSilences(view.silences, now);
  const tick = beginTick(view, context, health, flapping, silences.active);
  oweNow(tick);
  followFailures(tick);
  // grows while it is walked: what is moved to another row is judged there
  for (const line of tick.lines) line.fate = fateOf(line, tick);
  const written = writeLines(tick.lines, view.admittedRecently, newId);
  return {
    version: view.version,
    now,
    dead: health.found,
    open: [...health.opened, ...flapping.opened].map(({ opening }) => opening),
    resolve: [...health.ended, ...flapping.ended].map(({ id }) => id),
    ...written,
    follow: tick.follow.map(({ id, line }) => ({ id, into: line === null ? null : line.writtenAs })),
    faults: [...silences.faults, ...faultsOf(tick)],
  };
}

function beginTick(
  view: PolicyView,
  context: PolicyContext,
  health: ChannelHealth,
  flapping: Flapping,
  silences: ActiveSilence[],
): Tick {
  const incidents = new Map(view.incidents.map((incident) => [incident.id, incident]));
  for (const { incident } of [...health.opened, ...flapping.opened]) incidents.set(incident.id, incident);
  for (const incident of [...health.ended, ...flapping.ended]) {
    incidents.set(incident.id, { ...incident, resolvedAt: Math.max(context.now, incident.openedAt + 1) });
  }
  const rows = new Map(view.routes.map((row) => [row.id, row]));
  const tick: Tick = {
    ...{ view, context, health, flapping, silences, incidents, rows },
    routes: view.routes,
    now: context.now,
    usable: health.usable,
    lines: [],
    claimed: new Set(),
    tellers: new Map(),
    follow: [],
    quiet: new Map(),
    silenced: new Map(),
  };
  for (const delivery of view.deliveries) {
    const row = rows.get(delivery.row);
    if (row === undefined || delivery.failed) continue;
    for (const id of delivery.incidents) {
      const incident = incidents.get(id);
      if (incident !== undefined) addLine(tick, lineOf(delivery, row, incident));
    }
  }
  for (const [key, lines] of Map.groupBy(tick.lines, keyOf)) {
    if (lines.length > 1) tick.tellers.set(key, tellerOf(lines, tick));
  }
  return tick;
}

/** What may be with the vendor already, or else what may go now, or else the oldest. */
function tellerOf(lines: readonly Line[], tick: Tick): Line {
  const begun = ({ existing }: Line) => existing?.admitted === true || existing?.uncertain === true;
  return lines.find(begun) ?? lines.find((line) => heldBy(line, tick) === null) ?? lines[0] as Line;
}

function lineOf(delivery: PolicyDelivery, row: AlertRoute, incident: PolicyIncident): Line {
  const { event, note, createdAt } = delivery;
  return {
    ...{ row, event, note, createdAt, incident, existing: delivery },
    whileOpen: false,
    unacknowledged: false,
    needs: [delivery.id],
    fate: { kind: "go" },
    writtenAs: null,
  };
}

function addLine(tick: Tick, line: Line): Line {
  tick.claimed.add(keyOf(line));
  tick.lines.push(line);
  return line;
}

/** A target gets the same news once, whoever owes it and through whichever row. */
function addOwed(tick: Tick, owed: Owed): Line | null {
  if (tick.claimed.has(keyOf(owed))) return null;
  return addLine(tick, {
    ...owed,
    createdAt: tick.now,
    existing: null,
    fate: { kind: "go" },
    writtenAs: null,
  });
}

function keyOf({ row, incident, event }: Pick<Line, "row" | "incident" | "event">): string {
  return `${row.targetKey} ${incident.id} ${event}`;
}

function oweNow(tick: Tick): void {
  const ownEnded = new Set([...tick.health.ended, ...tick.flapping.ended].map(({ id }) => id));
  const ending = new Set(
    tick.lines.filter(({ event, existing }) => event === "resolved" && existing?.admitted === false)
      .map(({ incident }) => incident.id),
  );
  for (const incident of tick.incidents.values()) {
    const quieted = silenceOf(incident, tick) !== null || tick.flapping.covers(incident) ||
      isPutOff(incident, tick);
    const openings = owedOpenings(incident, tick);
    const again = openings.length > 0 || quieted
      ? []
      : [...owedReminders(incident, tick), ...owedEscalations(incident, tick)];
    const ends = ownEnded.has(incident.id) || ending.has(incident.id) ? owedRecoveries(incident, tick) : [];
    for (const one of [...openings, ...owedRaises(incident, tick), ...again, ...ends]) addOwed(tick, one);
  }
}

/** Deliveries that a vendor refused for good: their news goes to the next row that fits. */
function followFailures(tick: Tick): void {
  for (const delivery of tick.view.deliveries) {
    const row = tick.rows.get(delivery.row);
    if (!delivery.failed || row === undefined) continue;
    const reason = delivery.lastError ?? tick.health.reasonOf(row);
    const failure = { row, event: delivery.event, failedDelivery: delivery, reason };
    const follows = delivery.incidents.flatMap((id) => {
      const incident = tick.incidents.get(id);
      return incident === undefined ? [] : [follow(failure, incident, tick)];
    });
    if (follows.every(({ done }) => done)) {
      tick.follow.push({ id: delivery.id, line: follows.find(({ line }) => line !== null)?.line ?? null });
    }
  }
}

function follow(
  failure: Parameters<typeof followFailure>[0],
  incident: PolicyIncident,
  tick: Tick,
): { done: boolean; line: Line | null; why: string } {
  const covered = (row: AlertRoute) => tick.claimed.has(keyOf({ row, incident, event: failure.event }));
  const next = followFailure(failure, incident, tick, covered);
  switch (next.kind) {
    case "owe":
      return {
        done: true,
        line: addOwed(tick, next.owed),
        why: `told through ${nameOfRow(next.owed.row)} instead`,
      };
    case "covered":
      return { done: true, line: null, why: "another row tells the same" };
    case "over":
      return { done: true, line: null, why: "the incident has ended" };
    case "wait":
      return { done: false, line: null, why: "no other row can tell it" };
  }
}

// --- what becomes of one piece of news ---

function fateOf(line: Line, tick: Tick): Line["fate"] {
  const { row, incident, event, existing } = line;
  const cancel = (reason: string) => ({ kind: "cancel", reason, instead: null }) as const;
  if (existing?.uncertain === true) return moveUncertain(line, tick);
  const twice = toldTwice(line, tick);
  if (twice !== null) return cancel(twice);
  if (event === "reminder") {
    if (incident.resolvedAt !== null) return cancel("The incident ended before this reminder was sent");
    if (incident.acknowledgedBy !== null) return cancel(`Acknowledged by ${incident.acknowledgedBy}`);
  }
  if (event === "opened" && isOvertaken(line, tick)) return cancel(overtakenReason(line, tick));
  if (event === "resolved" && existing?.admitted === false && !hears(line, tick)) {
    const beginnings = beginningsOf(line, tick);
    if (beginnings.length === 0) return cancel("This row was never told that it began");
    const reason = "It ended before it was told: neither its beginning nor its end is sent";
    // whoever took a beginning since this look sends it, and then its end is owed
    return { ...cancel(reason), needs: beginnings.flatMap(({ existing }) => existing?.id ?? []) };
  }
  const held = existing?.admitted === true ? null : heldBy(line, tick);
  // over before anybody could be told, and in a time of which nobody wanted to hear
  if (held !== null && held.drops && event === "opened" && incident.resolvedAt !== null) {
    return cancel(`It ended meanwhile. ${held.reason}`);
  }
  if (held !== null) return { kind: "hold", reason: held.reason };
  return tick.usable(row) ? { kind: "go" } : moved(line, tick);
}

/** Why news needs no second delivery: another one of the same goes to the same target, or has gone there. */
function toldTwice(line: Line, tick: Tick): string | null {
  const { row, incident, existing } = line;
  if (existing === null || existing.admitted) return null;
  const teller = tick.tellers.get(keyOf(line));
  if (teller !== undefined) {
    if (teller === line) return null;
    return teller.row.id === row.id
      ? `Delivery ${teller.existing?.id} tells the same`
      : toldThere(teller.row);
  }
  const rival = tick.routes.find((other) =>
    other.id !== row.id && sharesTarget(other, row) && tells(toldBy(incident, other), line, tick.now)
  );
  return rival === undefined ? null : toldThere(rival);
}

function toldThere(row: AlertRoute): string {
  return `Row ${nameOfRow(row)} of alert_config tells the same to the same target`;
}

/** An opening that nobody has seen, of an incident that has ended since; one that was over at once is told once. */
function isOvertaken({ row, incident, existing }: Line, tick: Tick): boolean {
  if (incident.resolvedAt === null || incident.resolvedAt <= incident.openedAt) return false;
  return existing?.admitted !== true ||
    tick.lines.some((line) =>
      sharesTarget(line.row, row) && line.incident.id === incident.id && line.event === "resolved" &&
      line.existing?.admitted !== true
    );
}

/** News of the beginning that waits for the target of a row. */
function beginningsOf({ row, incident }: Line, { lines }: Tick): Line[] {
  return lines.filter((line) =>
    line.event === "opened" && line.incident.id === incident.id && sharesTarget(line.row, row)
  );
}

function overtakenReason({ row, incident, existing }: Line, tick: Tick): string {
  const dropped = incident.severity === "low" && existing?.heldReason?.startsWith(QUIET) === true;
  if (dropped) return "It ended during quiet hours and was of low severity";
  return tick.claimed.has(keyOf({ row, incident, event: "resolved" }))
    ? "It ended before it was told: neither its beginning nor its end is sent"
    : "It ended before it was told";
}

/** Whether a row's target was told of the beginning, or the row hears of ends alone. */
function hears({ row, incident }: Line, { routes }: Tick): boolean {
  if (!row.events.includes("opened") && !row.events.includes("reminder")) return true;
  return targetTold(incident, row, routes)?.heard === true;
}

const QUIET = "Quiet hours";

/** What news has to wait for; `drops`: an incident that was over at once is not told afterwards. */
function heldBy(
  { row, incident, event }: Pick<Line, "row" | "incident" | "event">,
  tick: Tick,
): { reason: string; drops: boolean } | null {
  const silenced = silenceOf(incident, tick);
  if (silenced !== null) return { reason: silenced, drops: true };
  // that it is over was not put off
  if (event !== "resolved" && isPutOff(incident, tick)) {
    const until = formatUtc(new Date(incident.quietUntil ?? tick.now));
    return { reason: `Put off by hand until ${until}`, drops: true };
  }
  if (tick.flapping.covers(incident)) return { reason: "Told as flapping until it is calm", drops: true };
  if (incident.severity === "critical") return null;
  const until = quietOf(row, tick);
  if (until === null) return null;
  return { reason: `${QUIET} until ${wallClock(row, until)}`, drops: incident.severity === "low" };
}

function isPutOff({ quietUntil }: PolicyIncident, { now }: Tick): boolean {
  return quietUntil !== null && quietUntil > now;
}

function quietOf(row: AlertRoute, tick: Tick): number | null {
  const known = tick.quiet.get(row.id);
  if (known !== undefined) return known;
  const until = quietUntil(row, tick.now);
  tick.quiet.set(row.id, until);
  return until;
}

function silenceOf(incident: PolicyIncident, tick: Tick): string | null {
  const known = tick.silenced.get(incident.id);
  if (known !== undefined) return known;
  const reason = tick.silences.find((silence) => silence.covers(incident))?.reason ?? null;
  tick.silenced.set(incident.id, reason);
  return reason;
}

/** News for a row whose channel is dead. Where no other row can tell it, the channel is tried all the same. */
function moved(line: Line, tick: Tick): Line["fate"] {
  const reason = tick.health.reasonOf(line.row);
  const { row, event, incident, existing } = line;
  const next = follow({ row, event, failedDelivery: null, reason }, incident, tick);
  if (!next.done) return { kind: "go" };
  if (next.line !== null && existing !== null) next.line.needs = [existing.id];
  return { kind: "cancel", reason: `Its channel is dead, ${next.why}: ${reason}`, instead: next.line };
}

/** The vendor may have it, so it stays owed where it is; where the channel has died since, others hear of it too. */
function moveUncertain({ row, event, incident }: Line, tick: Tick): Line["fate"] {
  if (!tick.usable(row)) {
    follow({ row, event, failedDelivery: null, reason: tick.health.reasonOf(row) }, incident, tick);
  }
  return { kind: "go" };
}

// --- what is wrong with what people wrote ---

function faultsOf({ view, incidents, routes }: Tick): string[] {
  const unheard = [...incidents.values()].filter((incident) =>
    !incident.owed && incident.resolvedAt === null && incident.code === "flapping" &&
    routeAlert(incident, routes).length === 0
  );
  return [
    ...view.strayRequests.map((name) =>
      `job_inventory.alert_channel "${name}" names no enabled row of alert_config`
    ),
    ...view.strayProjects.map((name) => `alert_config.project_name "${name}" names no project`),
    ...routes.filter((row) => row.quietFrom !== null && !isQuietZone(row.quietTimeZone)).map((row) =>
      `Row ${
        nameOfRow(row)
      } of alert_config: quiet_time_zone "${row.quietTimeZone}" is not known here, so it counts as UTC`
    ),
    ...unheard.map(({ id, severity }) => `No enabled row of alert_config takes incident ${id} (${severity})`),
  ];
}
