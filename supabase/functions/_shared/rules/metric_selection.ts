/** Which metrics a project is asked for, and when. */
import type { MetricCollection, MetricDefinition } from "../domain/metric.ts";

const MINUTE_MS = 60_000;
/** Half of the time between two collections: one that comes a little early still counts. */
const TOLERANCE_MS = 2.5 * MINUTE_MS;

/**
 * The metrics of one project by name: a definition of its own comes before the one for every project, and where it is
 * switched off, there is none.
 *
 * @param off Whether definitions that are switched off are wanted too.
 */
export function definitionsOf(
  definitions: readonly MetricDefinition[],
  projectName: string,
  off: "without those that are off" | "all" = "without those that are off",
): MetricDefinition[] {
  const chosen = new Map<string, MetricDefinition>();
  for (const definition of definitions) {
    if (definition.projectName !== null && definition.projectName !== projectName) continue;
    const other = chosen.get(definition.name);
    if (other === undefined || other.projectName === null) chosen.set(definition.name, definition);
  }
  return [...chosen.values()].filter(({ enabled }) => enabled || off === "all")
    .toSorted((a, b) => a.name < b.name ? -1 : 1);
}

/** Those that are due, the longest waiting first: what a slow one left no time for has its turn the next time. */
export function dueDefinitions(
  definitions: readonly MetricDefinition[],
  collections: readonly MetricCollection[],
  now: number,
): MetricDefinition[] {
  const asked = new Map(collections.map(({ definitionId, askedAt }) => [definitionId, askedAt ?? 0]));
  return definitions
    .filter(({ id, intervalMinutes }) =>
      now - (asked.get(id) ?? 0) >= intervalMinutes * MINUTE_MS - TOLERANCE_MS
    )
    .toSorted((a, b) => (asked.get(a.id) ?? 0) - (asked.get(b.id) ?? 0));
}
