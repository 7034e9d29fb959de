/** Watched projects. */

/** What a project is called; safe to show. */
export interface ProjectIdentity {
  name: string;
  /** Supabase project ref, where known. */
  ref: string | null;
}

/** A project whose Postgres is watched. */
export interface WatchedProject extends ProjectIdentity {
  /** Postgres connection string. A secret: never logged, stored or answered. */
  databaseUrl: string;
}

/** Everything that says which projects there are, besides the rows of `monitored_projects`. */
export interface ProjectSources {
  /** Given as secrets; the hub is among them, once. */
  projects: readonly WatchedProject[];
  hubProjectName: string;
  /** The value of a secret named by a reference `env:NAME`. */
  secret(name: string): string | undefined;
}

/** The ref inside a Supabase connection string: `db.<ref>.supabase.co` directly, user `postgres.<ref>` at the pooler. */
export function projectRef(databaseUrl: string): string | null {
  const direct = /@db\.([a-z]{20})\.supabase\.(?:co|net|com)[:/]/.exec(databaseUrl);
  const pooled = /^postgres(?:ql)?:\/\/[a-z_]+\.([a-z]{20})[:@]/.exec(databaseUrl);
  return direct?.[1] ?? pooled?.[1] ?? null;
}
