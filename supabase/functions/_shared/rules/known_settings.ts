/** What a look knows of pg_cron's settings where the project did not show them. */
import type { CronFacts } from "../domain/facts.ts";
import type { HubKnowledge } from "../domain/hub.ts";

/** What would show them. */
export const MISSING_GRANT =
  "grant pg_read_all_settings (or pg_monitor) to the role in the project's Postgres URL";

/**
 * Facts with what else is known of the settings: a run since the server's start shows that runs are logged, since only a
 * start changes that; and while pg_cron is not loaded nothing runs at all, so that slots are those of the time zone before.
 */
export function withKnownSettings(facts: CronFacts, knowledge: HubKnowledge): CronFacts {
  const { settings } = facts;
  switch (settings.access) {
    case "readable":
      return facts;
    case "not_loaded":
      return {
        ...facts,
        launcherAlive: false,
        settings: { ...settings, timeZone: settings.timeZone ?? knowledge.timeZone, logRun: true },
      };
    case "no_privilege":
      return { ...facts, settings: { ...settings, logRun: hasLogged(facts, knowledge) ? true : null } };
  }
}

function hasLogged(facts: CronFacts, knowledge: HubKnowledge): boolean {
  const since = (startedAt: number | null) => startedAt !== null && startedAt >= facts.serverStartedAt;
  return [...facts.runs, ...facts.reread].some((run) => since(run.startedAt)) ||
    [...knowledge.states.values()].some((state) => since(state.lastRunAt));
}
