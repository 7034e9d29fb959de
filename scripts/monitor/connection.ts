/** Where the command line goes: the local stack while one is up, else what `.env` and the environment say. */
import { join, relative } from "node:path";
import { parseEnv } from "node:util";
import { z } from "zod";
import { REPOSITORY } from "../local/repository.ts";
import { DEFAULT_ROOT_DIR, infoPath, readStackInfo, runningStack } from "../local/state.ts";
import { taskRunner } from "../local/task_runner.ts";
import { MonitorError } from "./errors.ts";

/** How to reach a monitor. Holds secrets: never print it. */
export interface Connection {
  /** The project's URL; its functions are below `/functions/v1`. */
  readonly url: string;
  /** A secret key (`sb_secret_…`) that the functions accept. */
  readonly secretKey: string;
  /** Postgres connection string of the hub. */
  readonly hubDatabaseUrl: string;
  /** PEM of a CA to trust besides the public ones; `null`: only those. */
  readonly caCert: string | null;
  readonly origin: ConnectionOrigin;
  /** Postgres connection strings of watched projects by name, where they are known here too. */
  readonly projectUrls?: Readonly<Record<string, string>>;
}

/** What a connection was read from, for people: names of files and variables, never values. */
export interface ConnectionOrigin {
  kind: "local stack" | "environment" | "given";
  text: string;
}

/** Whether one half of a connection works. */
export interface Reachability {
  ok: boolean;
  /** Where it is, without user, password or key. */
  where: string;
  /** Until it answered, or until it was given up. */
  took_ms: number;
  error: { code: string; message: string; hints: readonly string[] } | null;
}

/** What a test of a connection found. */
export interface ConnectionReport {
  /** Both halves work. */
  ok: boolean;
  origin: ConnectionOrigin;
  functions: Reachability;
  hub: Reachability;
}

/** Settings of {@link findConnection}. */
export interface FindOptions {
  /** `environment` passes over a local stack that is up. Default: `stack first`. */
  prefer?: "stack first" | "environment";
  /** The stack's folder. Default: `STACK_ROOT_DIR`, else `.local` in the repository. */
  rootDir?: string | undefined;
  /** Default: `.env` in the repository. */
  envFile?: string;
  /** Variables, which win over the file's. Default: the process's. */
  env?: Readonly<Record<string, string | undefined>>;
}

const variables = z.object({
  SUPABASE_URL: z.url({
    protocol: /^https?$/,
    error: "must be an http(s) URL, such as https://<ref>.supabase.co",
  }),
  MONITOR_SECRET_KEY: z.string().regex(/^sb_secret_\S+$/, "must be a secret key of the project: sb_secret_…"),
  SUPABASE_DB_URL: z.string().refine(
    isPostgresUrl,
    "must be a postgresql:// URL, its password percent-encoded",
  ),
  POSTGRES_CA_CERT: z.string().includes("BEGIN CERTIFICATE", { error: "must be a PEM certificate" })
    .optional(),
});
type VariableName = keyof typeof variables.shape;
const NAMES = Object.keys(variables.shape) as VariableName[];
const NEEDED: readonly VariableName[] = ["SUPABASE_URL", "MONITOR_SECRET_KEY", "SUPABASE_DB_URL"];

/**
 * Finds the monitor to talk to.
 *
 * @throws {MonitorError} `not_configured`, naming every variable that is missing or wrong, and where was looked.
 */
export async function findConnection(options: FindOptions = {}): Promise<Connection> {
  const env = options.env ?? Deno.env.toObject();
  const rootDir = options.rootDir ?? (env["STACK_ROOT_DIR"] || join(REPOSITORY, DEFAULT_ROOT_DIR));
  if (options.prefer !== "environment") {
    const local = await localConnection(rootDir);
    if (local !== null) return local;
  }
  const file = options.envFile ?? join(REPOSITORY, ".env");
  const stack = options.prefer === "environment"
    ? "The local stack was passed over (--env)"
    : `No local stack is up (${shortPath(rootDir)})`;
  return environmentConnection(await readEnvFile(file), env, { file: shortPath(file), stack });
}

async function localConnection(rootDir: string): Promise<Connection | null> {
  if (await runningStack(rootDir) === undefined) return null;
  const info = await readStackInfo(rootDir);
  if (info === undefined) {
    throw new MonitorError("not_configured", `The local stack in ${shortPath(rootDir)} is not up yet`, {
      hints: ["Wait until it is, or pass over it with --env"],
    });
  }
  return {
    url: info.gateway_url,
    secretKey: info.secret_key,
    hubDatabaseUrl: info.hub_db_url,
    caCert: null,
    projectUrls: Object.fromEntries(info.projects.map(({ name, db_url }) => [name, db_url])),
    origin: { kind: "local stack", text: `the local stack (${shortPath(infoPath(rootDir))})` },
  };
}

/** Where was looked, for messages. */
interface Looked {
  file: string;
  stack: string;
}

function environmentConnection(
  file: Readonly<Record<string, string | undefined>>,
  env: Readonly<Record<string, string | undefined>>,
  looked: Looked,
): Connection {
  const given = NAMES.flatMap((name) => {
    if (env[name]) return [{ name, value: env[name], from: "the environment" }];
    return file[name] ? [{ name, value: file[name], from: looked.file }] : [];
  });
  const missing = NEEDED.filter((name) => !given.some((one) => one.name === name));
  if (missing.length > 0) throw notConfigured(missing, looked);
  const parsed = variables.safeParse(Object.fromEntries(given.map(({ name, value }) => [name, value])));
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path: [name = ""], message }) => {
      const from = given.find((one) => one.name === name)?.from;
      return `${String(name)} (from ${from}) ${message}`;
    });
    throw new MonitorError("not_configured", `Cannot use the environment: ${faults.join("; ")}`);
  }
  const values = parsed.data;
  const places = Map.groupBy(given, ({ from }) => from);
  const text = [...places].map(([from, ones]) => `${ones.map(({ name }) => name).join(", ")} from ${from}`);
  return {
    url: values.SUPABASE_URL.replace(/\/+$/, ""),
    secretKey: values.MONITOR_SECRET_KEY,
    hubDatabaseUrl: values.SUPABASE_DB_URL,
    caCert: values.POSTGRES_CA_CERT ?? null,
    projectUrls: projectUrls({ ...file, ...env }),
    origin: { kind: "environment", text: text.join("; ") },
  };
}

/** Secrets as the functions have them: `SMOOTHED_SUPABASE_POSTGRES_URL`. */
function projectUrls(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([variable, url]) => {
      const name = /^([A-Z][A-Z0-9_]*)_SUPABASE_POSTGRES_URL$/.exec(variable)?.[1]?.toLowerCase();
      return name === undefined || url === undefined || !isPostgresUrl(url) ? [] : [[name, url]];
    }),
  );
}

function notConfigured(missing: readonly VariableName[], { file, stack }: Looked): MonitorError {
  return new MonitorError(
    "not_configured",
    `${stack}, and neither the environment nor ${file} has ${missing.join(", ")}`,
    {
      hints: [
        `Start the local stack: ${taskRunner()} start`,
        `Or name your hub in ${file}: SUPABASE_URL=https://<ref>.supabase.co, MONITOR_SECRET_KEY=sb_secret_…, ` +
        "SUPABASE_DB_URL=postgresql://…",
      ],
    },
  );
}

async function readEnvFile(path: string): Promise<Record<string, string | undefined>> {
  try {
    return parseEnv(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.IsADirectory) {
      throw new MonitorError("not_configured", `Cannot read ${shortPath(path)}: it is not a readable file`);
    }
    throw error;
  }
}

function isPostgresUrl(text: string): boolean {
  return /^postgres(ql)?:\/\/\S+$/.test(text) && URL.canParse(text);
}

function shortPath(path: string): string {
  const short = relative(Deno.cwd(), path);
  return short.startsWith("..") ? path : short;
}
