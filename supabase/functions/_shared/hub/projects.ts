/** Which projects are watched: secrets and rows of `monitored_projects`, together. */
import type postgres from "postgres";
import { z } from "zod";
import { AppError, describeError } from "../errors.ts";
import { projectRef, type ProjectSources, type WatchedProject } from "../domain/project.ts";
import { hubError } from "./client.ts";
import { resolveSecret } from "./secrets.ts";

const row = z.object({
  name: z.string(),
  project_ref: z.string().nullable(),
  database_url: z.string().nullable(),
  enabled: z.boolean(),
});

/** A project to look at, or why it cannot be. */
export type ProjectEntry =
  | { kind: "project"; project: WatchedProject }
  | { kind: "fault"; name: string; error: { code: string; message: string } };

/**
 * Lists the projects to watch, each name once, by name. A row whose URL cannot be found is a fault of its own,
 * never a shorter list.
 *
 * @param only Name of the one project wanted.
 * @throws {AppError} `not_found` when `only` names none; `hub_unreachable` or `hub_failed`.
 */
export async function listProjects(
  sql: postgres.Sql,
  sources: ProjectSources,
  only?: string,
): Promise<ProjectEntry[]> {
  const rows = await sql`select name, project_ref, database_url, enabled from public.monitored_projects`
    .then((result) => z.array(row).parse([...result]))
    .catch((error) => {
      throw hubError(error, "read monitored_projects");
    });
  const entries = new Map<string, ProjectEntry>();
  for (const project of sources.projects) entries.set(project.name, { kind: "project", project });
  for (const { name, project_ref, database_url, enabled } of rows) {
    if (!enabled) entries.delete(name);
    else entries.set(name, await entryOf(sql, sources, name, project_ref, database_url));
  }
  const all = [...entries.values()].sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
  if (only === undefined) return all;
  const found = all.filter((entry) => nameOf(entry) === only);
  if (found.length > 0) return found;
  const known = all.map(nameOf).join(", ");
  throw new AppError("not_found", `Unknown project "${only}"; watched are: ${known}`);
}

/** The name of an entry, also of a faulty one. */
export function nameOf(entry: ProjectEntry): string {
  return entry.kind === "project" ? entry.project.name : entry.name;
}

async function entryOf(
  sql: postgres.Sql,
  sources: ProjectSources,
  name: string,
  ref: string | null,
  reference: string | null,
): Promise<ProjectEntry> {
  const given = sources.projects.find((project) => project.name === name);
  // the hub is reached as the platform says, also where a row describes it
  if (given !== undefined && (reference === null || name === sources.hubProjectName)) {
    return { kind: "project", project: { ...given, ref: ref ?? given.ref } };
  }
  try {
    if (reference === null) {
      const variable = `${name.toUpperCase()}_SUPABASE_POSTGRES_URL`;
      throw new AppError(
        "secret_missing",
        `Project "${name}" has no database_url and there is no secret "${variable}"`,
      );
    }
    const databaseUrl = await resolveSecret(reference, { sql, env: sources.secret });
    if (!/^postgres(ql)?:\/\//.test(databaseUrl) || !URL.canParse(databaseUrl)) {
      throw new AppError(
        "config_invalid",
        `Project "${name}": "${reference}" does not hold a postgresql:// URL, its password percent-encoded`,
      );
    }
    return { kind: "project", project: { name, databaseUrl, ref: ref ?? projectRef(databaseUrl) } };
  } catch (error) {
    return { kind: "fault", name, error: describeError(error) };
  }
}
