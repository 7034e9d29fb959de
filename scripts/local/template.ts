/** Data directories that are initialised once and copied for each cluster. */
import { readdir } from "node:fs/promises";
import postgres from "postgres";
import type { Postgres } from "./find_postgres.ts";
import { mustRun } from "./run_program.ts";
import { removeServerDir, removeSocketDir, serverSettings, startServer } from "./server.ts";
import { serverPid, stopServer } from "./server_process.ts";
import {
  digest,
  makePrivateDir,
  type Passwords,
  passwordsOf,
  removeAbandonedStateDirs,
  type StateDir,
  withLock,
} from "./state_dir.ts";

/** A client of the server that a template is built with. Default role: superuser `supabase_admin`. */
export type Connect = (database: string, role?: "supabase_admin" | "postgres") => postgres.Sql;

/** What a template holds beside the roles. */
export interface Template {
  name: string;
  /** Settings it is built with, and that its clusters are started with. */
  settings: Record<string, string>;
  /** Every text that its content comes from: another text, another template. */
  sources: string[];
  /** Fills it, through clients that are ended when it returns. */
  build(connect: Connect): Promise<void>;
}

/** A template on disk. */
export interface BuiltTemplate {
  dataDir: string;
  /** Differs where anything differs that the content comes from. */
  fingerprint: string;
  passwords: Passwords;
}

const ROLES_SQL = new URL("roles.sql", import.meta.url);
const PG_CRON_SQL = new URL("pg_cron.sql", import.meta.url);

/** A cluster as Supabase gives it: roles, and pg_cron in database `postgres`. */
export async function projectTemplate(): Promise<Template> {
  const pgCron = await pgCronSql();
  return {
    name: "project",
    settings: {},
    sources: [pgCron],
    build: async (connect) => {
      await connect("postgres").unsafe(pgCron);
    },
  };
}

/** Creates the real pg_cron with Supabase's grants; to be run as superuser. */
export async function pgCronSql(): Promise<string> {
  return await Deno.readTextFile(PG_CRON_SQL);
}

/** Builds a template where it is not there yet. Takes some seconds once, nothing later. */
export async function ensureTemplate(
  installed: Postgres,
  state: StateDir,
  template: Template,
): Promise<BuiltTemplate> {
  return await withLock(state, "exclusive", async () => {
    const passwords = await passwordsOf(state);
    const roles = await Deno.readTextFile(ROLES_SQL);
    // a minor version keeps the format of the data, and so the data
    const content = [installed.major, passwords, roles, template.settings, template.sources];
    const fingerprint = digest(JSON.stringify(content), 16);
    const dir = `${state.dir}/templates/${template.name}-${fingerprint}`;
    const built = { dataDir: `${dir}/data`, fingerprint, passwords };
    if (await Deno.stat(dir).then(() => true, () => false)) return built;
    await removeTemplates(state, template.name);
    await removeAbandonedStateDirs(hasServer);
    await build(installed, state, template, { dir, roles, passwords });
    return built;
  });
}

async function hasServer(stateDir: string): Promise<boolean> {
  const names = await readdir(`${stateDir}/clusters`).catch(() => []);
  const pids = await Promise.all(names.map((name) => serverPid(`${stateDir}/clusters/${name}/data`)));
  return pids.some((pid) => pid !== undefined);
}

/** The templates of an earlier content, and what an interrupted build left. */
async function removeTemplates(state: StateDir, name: string): Promise<void> {
  for await (const entry of Deno.readDir(`${state.dir}/templates`)) {
    if (!new RegExp(`^${name}-[0-9a-f]{16}(\\.building)?$`).test(entry.name)) continue;
    const dir = `${state.dir}/templates/${entry.name}`;
    await stopServer(`${dir}/data`, "immediate");
    removeServerDir(dir);
  }
}

async function build(
  installed: Postgres,
  state: StateDir,
  template: Template,
  { dir, roles, passwords }: { dir: string; roles: string; passwords: Passwords },
): Promise<void> {
  const building = `${dir}.building`;
  const dataDir = `${building}/data`;
  await makePrivateDir(state, building);
  try {
    await initdb(installed, state, dataDir);
    const server = { installed, state, dir: building };
    const { socketDir } = await startServer(server, (socketDir) => ({
      ...serverSettings({ port: SOCKET_PORT, socketDir }),
      listen_addresses: "",
      ...template.settings,
    }));
    const clients = new Map<string, postgres.Sql>();
    const connect: Connect = (database, role = "supabase_admin") => {
      const client = clients.get(`${role}@${database}`) ?? socketClient(socketDir, database, role);
      clients.set(`${role}@${database}`, client);
      return client;
    };
    try {
      await connect("postgres").unsafe(`${roles}\n${passwordSql(passwords)}`);
      await template.build(connect);
    } finally {
      await Promise.all([...clients.values()].map((client) => client.end({ timeout: 5 })));
    }
    // a clean shutdown, so that each copy starts without recovery
    await stopServer(dataDir, "fast");
    removeSocketDir(building);
    await Deno.rename(building, dir);
  } catch (error) {
    await stopServer(dataDir, "immediate");
    removeServerDir(building);
    throw error;
  }
}

/** Only names the socket: nothing listens on it while a template is built. */
const SOCKET_PORT = 5432;

async function initdb(installed: Postgres, state: StateDir, dataDir: string): Promise<void> {
  const locale = Deno.build.os === "darwin" ? "en_US.UTF-8" : "C.UTF-8";
  await mustRun("initialise a data directory", `${installed.binDir}/initdb`, [
    `--pgdata=${dataDir}`,
    "--username=supabase_admin",
    "--encoding=UTF8",
    `--locale=${locale}`,
    "--wal-segsize=1", // megabytes: a copy holds two segments at least
    "--no-sync",
    "--no-instructions",
  ], { account: state.account });
}

function passwordSql(passwords: Passwords): string {
  return Object.entries(passwords).map(([role, password]) => `alter role ${role} password '${password}';`)
    .join("\n");
}

/** A client over the socket, where the folder's mode stands for the password. */
function socketClient(socketDir: string, database: string, role: string): postgres.Sql {
  return postgres({
    host: socketDir,
    port: SOCKET_PORT,
    database,
    username: role,
    max: 1,
    onnotice: () => {},
  });
}
