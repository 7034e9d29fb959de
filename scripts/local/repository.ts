/** Where things lie in this repository. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Absolute path of the repository. */
export const REPOSITORY = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export const CONFIG_TOML = join(REPOSITORY, "supabase", "config.toml");
export const LOCK_FILE = join(REPOSITORY, "deno.lock");
export const MIGRATIONS_DIR = join(REPOSITORY, "supabase", "migrations");
/** Secrets of the user's own, ignored by git. */
export const USER_SECRETS = join(REPOSITORY, "supabase", "functions", ".env");
