/** What people do about incidents: take them on, call them false alarms, close them. */
import { z } from "zod";
import { findByPrefix, prefixFault } from "./find_by_prefix.ts";
import { MonitorError } from "./errors.ts";
import type { Hub } from "./hub_client.ts";
import { type IncidentName, readIncidentsByPrefix } from "./hub_tables.ts";

/** What can be done. */
export type IncidentAct =
  | { kind: "acknowledge"; note: string | null }
  | { kind: "false alarm" }
  | { kind: "resolve" };

/** What came of it, for one incident. */
export interface ActedIncident extends IncidentName {
  /** `false`: it was done before, or the incident is over; nothing was written. */
  changed: boolean;
}

const changedRow = z.object({ id: z.string(), changed: z.boolean() });

/**
 * Does one thing about incidents: about all of them, or where one cannot be found about none.
 *
 * @param ids Whole ids, or their beginnings where those are unique; open incidents come first.
 * @throws {MonitorError} `usage`, `not_found` or `ambiguous`, naming every id that is at fault.
 */
export async function actOnIncidents(
  hub: Hub,
  ids: readonly string[],
  act: IncidentAct,
  by: string,
): Promise<ActedIncident[]> {
  const found = await findIncidents(hub, ids, act);
  const list = `{${found.map(({ id }) => id).join(",")}}`;
  const changed = await hub.rows(`${VERBS[act.kind]} the incident`, changedRow, (sql) => {
    const call = {
      "acknowledge": () =>
        sql`monitoring.acknowledge_incident(id, ${by}, ${act.kind === "acknowledge" ? act.note : null})`,
      "false alarm": () => sql`monitoring.mark_false_alarm(id, ${by})`,
      "resolve": () => sql`monitoring.resolve_incident(id, ${by})`,
    }[act.kind]();
    return sql`select id, ${call} as changed from unnest(${list}::text::uuid[]) as id`;
  });
  // as they are now, in the order in which they were named
  const after = await readIncidentsByPrefix(hub, found.map(({ id }) => id));
  return found.map((before) => ({
    ...after.find(({ id }) => id === before.id) ?? before,
    changed: changed.find(({ id }) => id === before.id)?.changed ?? false,
  }));
}

const VERBS = { "acknowledge": "acknowledge", "false alarm": "mark", "resolve": "resolve" } as const;

async function findIncidents(hub: Hub, ids: readonly string[], act: IncidentAct): Promise<IncidentName[]> {
  if (ids.length === 0) throw new MonitorError("usage", "Say which incident, by the beginning of its id");
  const faults = ids.flatMap((id) => prefixFault(id) ?? []);
  if (faults.length > 0) throw new MonitorError("usage", faults.join("; "));
  const prefixes = ids.map((id) => id.trim().replace(/^#/, "").toLowerCase());
  const known = await readIncidentsByPrefix(hub, prefixes);
  const found: IncidentName[] = [];
  const refusals: MonitorError[] = [];
  for (const id of ids) {
    try {
      const one = findByPrefix(id, known, {
        kind: "incident",
        // a false alarm is often called one when it is over
        preferred: ({ resolved_at }) => act.kind === "false alarm" || resolved_at === null,
        describe: nameOfIncident,
        list: "incidents --all",
      });
      if (!found.includes(one)) found.push(one);
    } catch (error) {
      if (!(error instanceof MonitorError)) throw error;
      refusals.push(error);
    }
  }
  const [first] = refusals;
  if (first === undefined) return found;
  throw new MonitorError(first.code, refusals.map(({ message }) => message).join("; "), {
    candidates: refusals.flatMap(({ candidates }) => candidates),
    hints: [...new Set(refusals.flatMap(({ hints }) => hints))],
  });
}

/** `5f2c19aa failed: sync_leads in smoothed`, with what tells it from others. */
function nameOfIncident(
  { id, code, subject, project_name, resolved_at }: IncidentName,
): string {
  const over = resolved_at === null ? "" : `, over since ${resolved_at.slice(0, 16).replace("T", " ")} UTC`;
  return `${id} ${code}: ${subject} in ${project_name}${over}`;
}
