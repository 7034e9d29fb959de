/** What the functions' `run.ts` need, for tests that call them without HTTP. */
import type { Config } from "../../supabase/functions/_shared/config.ts";
import { readConfig } from "../../supabase/functions/_shared/config.ts";
import type { Log, LogFields } from "../../supabase/functions/_shared/log.ts";
import type { TestDatabase } from "./postgres.ts";

/** A log that keeps its lines for the test to look at. */
export function recordingLog(): Log & { lines: { event: string; fields: LogFields }[] } {
  const lines: { event: string; fields: LogFields }[] = [];
  const keep = (event: string, fields: LogFields = {}) => void lines.push({ event, fields });
  const log = { lines, info: keep, warn: keep, error: keep, with: () => log };
  return log;
}

/** Configuration as the environment of a hub with these watched projects gives it. */
export function configFor(
  hub: Pick<TestDatabase, "url">,
  projects: Readonly<Record<string, string>> = {},
  more: Readonly<Record<string, string>> = {},
): Config {
  const urls = Object.entries(projects).map((
    [name, url],
  ) => [`${name.toUpperCase()}_SUPABASE_POSTGRES_URL`, url]);
  return readConfig({ SUPABASE_DB_URL: hub.url, ...Object.fromEntries(urls), ...more });
}

/** A hub in which only the given projects are watched, without the hub itself. */
export async function watchOnlyOthers(hub: Pick<TestDatabase, "sql">): Promise<void> {
  await hub.sql`insert into monitored_projects (name, enabled) values ('thordata', false)`;
}
