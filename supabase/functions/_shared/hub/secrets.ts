/** Secrets by reference: what people write into our tables instead of the secret itself. */
import type postgres from "postgres";
import { AppError } from "../errors.ts";
import { hubError } from "./client.ts";

/** Where references lead. */
export interface SecretSources {
  sql: postgres.Sql;
  /** The value of a function secret; `undefined` where there is none. */
  env(name: string): string | undefined;
}

/**
 * The secret behind `vault:NAME` (Supabase Vault) or `env:NAME` (function secret); anything else is the value itself.
 *
 * @throws {AppError} `secret_missing` naming the reference, never a value; `hub_unreachable`.
 */
export async function resolveSecret(reference: string, { sql, env }: SecretSources): Promise<string> {
  const [, kind, name] = /^(vault|env):(.*)$/s.exec(reference.trim()) ?? [];
  if (kind === undefined || name === undefined) return reference.trim();
  const value = kind === "env" ? readEnv(name, env) : await readVault(sql, name);
  if (value === null || value.trim() === "") {
    const where = kind === "env"
      ? "there is no function secret of that name"
      : "the Vault has no secret of that name";
    throw new AppError("secret_missing", `Cannot resolve "${kind}:${name}": ${where}`);
  }
  return value.trim();
}

/**
 * The values of every secret that people's rows hold or refer to: where alerts go, and the projects' Postgres. What
 * cannot be resolved is left out.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readConfiguredSecrets(sources: SecretSources): Promise<string[]> {
  try {
    const rows = await sources.sql<{ reference: string }[]>`
      select distinct btrim(reference) as reference
      from (
        select unnest(array[webhook_url, bot_token, api_key, account]) as reference from public.alert_config
        union all select database_url from public.monitored_projects
      ) as written
      where reference is not null`;
    const values = await Promise.all(
      rows.map(({ reference }) => resolveSecret(reference, sources).catch(withoutMissing)),
    );
    return values.filter((value) => value !== null);
  } catch (error) {
    throw hubError(error, "read what must not be quoted");
  }
}

function withoutMissing(error: unknown): null {
  if (error instanceof AppError && error.code === "secret_missing") return null;
  throw error;
}

/** The platform's own variables are keys to the whole hub; a row of a table must not be able to send them away. */
function readEnv(name: string, env: SecretSources["env"]): string | null {
  if (name.toUpperCase().startsWith("SUPABASE_")) {
    throw new AppError(
      "secret_missing",
      `Cannot resolve "env:${name}": names that begin with SUPABASE_ are reserved`,
    );
  }
  return env(name) ?? null;
}

async function readVault(sql: postgres.Sql, name: string): Promise<string | null> {
  try {
    const [row] = await sql<{ decrypted_secret: string | null }[]>`
      select decrypted_secret from vault.decrypted_secrets where name = ${name}`;
    return row?.decrypted_secret ?? null;
  } catch (error) {
    throw hubError(error, `read "vault:${name}"`);
  }
}
