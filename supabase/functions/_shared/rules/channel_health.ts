/** Dead channels: found, told once through the others, and tried again after a while. */
import type { AlertRoute } from "../domain/delivery.ts";
import type { PolicyDelivery, PolicyIncident, PolicyOpening } from "../domain/policy.ts";
import { nameOfRow, takes } from "./routing.ts";

/** Attempts of one delivery without a success of its row's after which nothing seems to get through. */
const STALLED_ATTEMPTS = 5;
/** How long after its last refusal a dead channel is tried again with what comes up. */
const PROBE_AFTER_MS = 60 * 60_000;

/** How the channels are. */
export interface ChannelHealth {
  /** Rows found dead now. */
  found: { alertConfigId: string; reason: string }[];
  opened: { opening: PolicyOpening; incident: PolicyIncident }[];
  /** Incidents of channels that are well again, disabled or gone. */
  ended: PolicyIncident[];
  /** Whether alerts may be given to a row. */
  usable(row: AlertRoute): boolean;
  /** Why a row is dead. */
  reasonOf(row: AlertRoute): string;
}

/** What {@link judgeChannels} judges from. */
export interface ChannelFacts {
  routes: readonly AlertRoute[];
  deliveries: readonly PolicyDelivery[];
  incidents: readonly PolicyIncident[];
  /** What the incident of a row for all projects belongs to. */
  hubProjectName: string;
  now: number;
  newId: () => string;
}

/** Finds rows that get nothing through, and opens and ends the incidents of dead channels. */
export function judgeChannels(facts: ChannelFacts): ChannelHealth {
  const { routes, now } = facts;
  const found = stalledRows(facts);
  const dead = new Map(
    routes.filter((row) => row.enabled).flatMap((row) => {
      const reason = found.find(({ alertConfigId }) => alertConfigId === row.id)?.reason ?? row.dead?.reason;
      return reason === undefined ? [] : [[row.id, reason]];
    }),
  );
  const known = facts.incidents.filter(isDeadChannel);
  const fresh = new Set(found.map(({ alertConfigId }) => alertConfigId));
  return {
    found,
    opened: routes.flatMap((row) => {
      const reason = dead.get(row.id);
      if (reason === undefined || known.some(({ subjectId }) => subjectId === row.id)) return [];
      return [openingOf(row, reason, facts)];
    }),
    ended: known.filter(({ subjectId }) => !dead.has(subjectId)),
    usable: (row) => {
      if (!dead.has(row.id)) return true;
      return !fresh.has(row.id) && now - (row.dead?.lastFailureAt ?? 0) >= PROBE_AFTER_MS;
    },
    reasonOf: (row) => dead.get(row.id) ?? "",
  };
}

function isDeadChannel(incident: PolicyIncident): boolean {
  return incident.subjectKind === "channel" && incident.code === "channel_dead" &&
    incident.resolvedAt === null;
}

/** A row's vendor never says that it will not, and yet nothing arrives. */
function stalledRows({ routes, deliveries }: ChannelFacts): ChannelHealth["found"] {
  const alive = new Map(routes.filter((row) => row.dead === null).map((row) => [row.id, row]));
  const found = new Map<string, string>();
  for (const { row, failed, attempts, lastError, createdAt } of deliveries) {
    const route = alive.get(row);
    if (route === undefined || failed || attempts < STALLED_ATTEMPTS || lastError === null) continue;
    if ((route.lastSuccessAt ?? 0) >= createdAt) continue;
    found.set(row, `nothing got through in ${attempts} attempts: ${lastError}`);
  }
  return [...found].map(([alertConfigId, reason]) => ({ alertConfigId, reason }));
}

function openingOf(row: AlertRoute, reason: string, { hubProjectName, now, newId }: ChannelFacts) {
  const projectName = row.projectName ?? hubProjectName;
  const severity = takes(row, { severity: "critical", projectName })
    ? "critical" as const
    : "important" as const;
  const opening: PolicyOpening = {
    id: newId(),
    projectName,
    subjectKind: "channel",
    subjectId: row.id,
    jobInventoryId: null,
    code: "channel_dead",
    severity,
    summary: `alerts no longer get through ${nameOfRow(row)}: ${reason}`,
    detail: {
      subjectName: nameOfRow(row),
      cause:
        "Its alerts go to the next row of alert_config that fits; set the row right, or it is tried again each hour",
    },
  };
  return { opening, incident: incidentOf(opening, now, null, null) };
}

/** An incident that the policy opens at this tick, as the policy sees it. */
export function incidentOf(
  opening: PolicyOpening,
  now: number,
  jobName: string | null,
  alertChannel: string | null,
): PolicyIncident {
  const { id, projectName, subjectKind, subjectId, code, severity } = opening;
  return {
    ...{ id, projectName, subjectKind, subjectId, code, severity, jobName, alertChannel },
    raised: null,
    openedAt: now,
    resolvedAt: null,
    acknowledgedBy: null,
    quietUntil: null,
    owed: false,
    told: [],
  };
}
