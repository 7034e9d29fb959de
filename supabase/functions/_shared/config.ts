/** The environment, read once and checked as a whole. Only a function's `index.ts` calls this. */
import { z } from "zod";
import { AppError } from "./errors.ts";
import { projectRef, type ProjectSources, type WatchedProject } from "./domain/project.ts";

/** Name of the project that holds the hub where nothing else is said. */
const DEFAULT_HUB_PROJECT = "thordata";

/** A watched project's secret, as the seeds name it: `SMOOTHED_SUPABASE_POSTGRES_URL`. */
const PROJECT_URL_VARIABLE = /^([A-Z][A-Z0-9_]*)_SUPABASE_POSTGRES_URL$/;

/** Variables that hold secrets, by the names that people and the platform give them. */
const SECRET_VARIABLE =
  /(?:TOKEN|KEYS?|SECRETS?|PASSWORD|SID|DSN|HEADERS|(?:WEBHOOK|PING|POSTGRES|DATABASE|DB)_URL)$/;

const postgresUrl = z.string().refine(
  (text) => /^postgres(ql)?:\/\/[^\s]+$/.test(text) && URL.canParse(text),
  "must be a postgresql:// URL, its password percent-encoded",
);
const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http(s) URL" });

const environment = z.object({
  SUPABASE_DB_URL: postgresUrl,
  SUPABASE_URL: httpUrl.optional(),
  HUB_PROJECT_NAME: z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, "must be lower case letters, digits, _ or -")
    .default(DEFAULT_HUB_PROJECT),
  MANAGEMENT_API_TOKEN: z.string().min(1).optional(),
  MANAGEMENT_API_URL: httpUrl.default("https://api.supabase.com"),
  TELEGRAM_API_URL: httpUrl.optional(),
  RESEND_API_URL: httpUrl.optional(),
  POSTMARK_API_URL: httpUrl.optional(),
  TWILIO_API_URL: httpUrl.optional(),
  PAGERDUTY_API_URL: httpUrl.optional(),
  OUTGOING_ALLOWED_HOSTS: z.string().default(""),
  POSTGRES_CA_CERT: z.string().includes("BEGIN CERTIFICATE", { error: "must be a PEM certificate" })
    .optional(),
});

/** Everything the functions need to know of their surroundings. Holds secrets: never log it. */
export interface Config extends ProjectSources {
  /** Direct connection to the hub's Postgres. */
  hubDatabaseUrl: string;
  /** Name under which the hub watches itself. */
  hubProjectName: string;
  /** Projects given as secrets; the hub is among them, once. */
  projects: WatchedProject[];
  managementApi: { url: string; token: string | null };
  /** `host:port` of private hosts that alerts may go to, such as a relay. */
  outgoingAllowedHosts: string[];
  /** PEM of a CA to trust besides the public ones: Supabase's root certificate. */
  postgresCaCert: string | null;
  /** Every value of the environment that is secret by its name, the platform's too: nobody may quote one. */
  secrets: string[];
  /** The value of a secret named by a reference `env:NAME`; `undefined` where there is none or it is the platform's. */
  secret(name: string): string | undefined;
}

/**
 * Reads the configuration from environment variables.
 *
 * @throws {AppError} `config_invalid` naming every fault at once, never a value.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = environment.safeParse(set);
  const projects = readProjects(set);
  const faults = [
    ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join(".")} ${issue.message}`),
    ...projects.faults,
  ];
  if (!parsed.success || faults.length > 0) {
    throw new AppError("config_invalid", `Cannot read the configuration: ${faults.join("; ")}`, { faults });
  }
  const values = parsed.data;
  const hub: WatchedProject = {
    name: values.HUB_PROJECT_NAME,
    databaseUrl: values.SUPABASE_DB_URL,
    ref: projectRef(values.SUPABASE_DB_URL) ?? refOfApiUrl(values.SUPABASE_URL),
  };
  return {
    hubDatabaseUrl: values.SUPABASE_DB_URL,
    hubProjectName: hub.name,
    projects: [...projects.list.filter((project) => project.name !== hub.name), hub],
    managementApi: { url: values.MANAGEMENT_API_URL, token: values.MANAGEMENT_API_TOKEN ?? null },
    outgoingAllowedHosts: values.OUTGOING_ALLOWED_HOSTS.split(",").map((host) => host.trim()).filter(Boolean),
    postgresCaCert: values.POSTGRES_CA_CERT ?? null,
    secrets: secretsOf(set),
    secret: (name) => name.startsWith("SUPABASE_") ? undefined : set[name],
  };
}

/** Where the hub is and what it calls itself: all that a receiver of reports needs of {@link readConfig}. */
export function readHubAddress(
  env: Readonly<Record<string, string | undefined>>,
): { databaseUrl: string; caCert: string | null; hubProjectName: string } {
  const { hubDatabaseUrl, postgresCaCert, hubProjectName } = readConfig(env);
  return { databaseUrl: hubDatabaseUrl, caCert: postgresCaCert, hubProjectName };
}

function readProjects(env: Readonly<Record<string, string | undefined>>) {
  const list: WatchedProject[] = [];
  const faults: string[] = [];
  for (const [variable, value] of Object.entries(env).sort(([a], [b]) => a.localeCompare(b))) {
    const name = PROJECT_URL_VARIABLE.exec(variable)?.[1]?.toLowerCase();
    if (name === undefined || value === undefined) continue;
    if (postgresUrl.safeParse(value).success) list.push({ name, databaseUrl: value, ref: projectRef(value) });
    else faults.push(`${variable} must be a postgresql:// URL, its password percent-encoded`);
  }
  return { list, faults };
}

/** Every value of the environment that is secret by its name. */
export function secretsOf(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(env).flatMap(([name, value]) =>
    SECRET_VARIABLE.test(name) && value !== undefined && value !== "" ? valuesOf(value) : []
  );
}

/** A dictionary of keys, as the platform gives them, holds several. */
function valuesOf(text: string): string[] {
  if (!text.startsWith("{")) return [text];
  try {
    return Object.values(JSON.parse(text)).filter((value) => typeof value === "string");
  } catch {
    return [text];
  }
}

function refOfApiUrl(url: string | undefined): string | null {
  return url === undefined ? null : /^https:\/\/([a-z]{20})\.supabase\.co/.exec(url)?.[1] ?? null;
}
