/** Compares the edge functions that a project shows with what the hub knew: new, removed, deployed anew, throttled. */
import type { DeployedFunction, EdgeKnowledge } from "../domain/edge_function.ts";
import type { HubKnowledge } from "../domain/hub.ts";
import type { ChangeKind, InventoryChange } from "../domain/observation.ts";
import { reconcile, type Reconciliation, type ShownJob } from "./inventory.ts";

/** A deployed function with its id in the inventory. */
export interface IdentifiedFunction extends DeployedFunction {
  jobInventoryId: string;
}

/** What has to be written of a project's edge functions. */
export interface EdgeReconciliation extends Reconciliation {
  functions: IdentifiedFunction[];
}

/** @param newId Makes the id of a function seen for the first time. */
export function reconcileFunctions(
  deployed: readonly DeployedFunction[],
  knowledge: HubKnowledge,
  edge: EdgeKnowledge,
  newId: () => string,
): EdgeReconciliation {
  const inventory = reconcile(deployed.map(shown), knowledge.jobs, "edge_function", newId);
  const bySlug = new Map(deployed.map((one) => [one.slug, one]));
  const functions = inventory.jobs.flatMap(({ id, jobName }) => {
    const found = bySlug.get(jobName);
    return found === undefined ? [] : [{ ...found, jobInventoryId: id }];
  });
  return {
    ...inventory,
    functions,
    changes: [...inventory.changes, ...functions.flatMap((one) => differences(one, edge))],
  };
}

/** Supabase keeps no schedule of a function; throttled or not, it is there to be called. */
function shown({ slug }: DeployedFunction): ShownJob {
  return {
    jobType: "edge_function",
    jobName: slug,
    jobUser: null,
    jobId: null,
    schedule: null,
    command: null,
    active: true,
    expectedIntervalMinutes: null,
  };
}

function differences(now: IdentifiedFunction, edge: EdgeKnowledge): InventoryChange[] {
  const before = edge.functions.get(now.jobInventoryId)?.deployed ?? null;
  if (before === null) return [];
  const change = (kind: ChangeKind, oldValue: string, newValue: string): InventoryChange[] =>
    oldValue === newValue ? [] : [{
      jobInventoryId: now.jobInventoryId,
      jobType: "edge_function",
      jobName: now.slug,
      change: kind,
      oldValue,
      newValue,
    }];
  return [
    ...change("version", String(before.version), String(now.version)),
    ...change("status", before.status, now.status),
  ];
}
