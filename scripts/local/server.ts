/** Starts a server on a data directory, with settings for data that may be lost at a power cut. */
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import type { Postgres } from "./find_postgres.ts";
import { lastLines, LocalPostgresError, runProgram } from "./run_program.ts";
import { serverPid } from "./server_process.ts";
import { digest, makePrivateDir, type StateDir, writePrivateFile } from "./state_dir.ts";

/** Where a server lives: `dir` holds `data`, `log` and mostly `socket`. */
export interface ServerPlace {
  installed: Postgres;
  state: StateDir;
  dir: string;
}

/** A server that runs. */
export interface RunningServer {
  pid: number;
  dataDir: string;
  socketDir: string;
  logFile: string;
}

/** Over TCP a password, always; over the socket none, since nobody else may enter its folder. */
const HBA = `# written anew at each start
local all all trust
host all all 127.0.0.1/32 scram-sha-256
`;

const START_DEADLINE_SECONDS = 60;
/** What the folders of servers in memory are called; a link in the state folder leads to each. */
export const MEMORY_DIR_PREFIX = "/dev/shm/supabase-job-monitor-";
/** Linux takes 107 bytes, macOS 103. */
const LONGEST_SOCKET_PATH = 103;

/** Settings of every local server, in the spelling of postgresql.conf. */
export function serverSettings(
  { port, socketDir }: { port: number; socketDir: string },
): Record<string, string> {
  return {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: socketDir,
    unix_socket_permissions: "0700",
    password_encryption: "scram-sha-256",
    max_connections: "50",
    shared_buffers: "16MB",
    fsync: "off",
    synchronous_commit: "off",
    full_page_writes: "off",
    wal_level: "minimal",
    max_wal_senders: "0",
    min_wal_size: "2MB",
    max_wal_size: "256MB",
    jit: "off",
    timezone: "UTC",
    log_timezone: "UTC",
    log_line_prefix: "%m [%p] %q%u@%d ",
    // files in the data directory, so that a killed server leaves nothing elsewhere
    dynamic_shared_memory_type: "mmap",
    // as on Supabase, where pg_stat_statements is loaded too
    shared_preload_libraries: "pg_cron,pg_stat_statements",
    "cron.database_name": "postgres",
    // pg_cron connects as each job's owner: the socket asks no password
    "cron.host": socketDir,
    "cron.log_statement": "off",
  };
}

/**
 * Starts a server and waits until it takes connections.
 * @throws {LocalPostgresError} with the last lines of the server's log.
 */
export async function startServer(
  place: ServerPlace,
  settings: (socketDir: string) => Record<string, string>,
): Promise<RunningServer> {
  const { installed, state, dir } = place;
  const dataDir = `${dir}/data`;
  const logFile = `${dir}/log`;
  const socketDir = await makeSocketDir(state, dir);
  await writePrivateFile(state, `${dataDir}/postgresql.conf`, configText(settings(socketDir)));
  await writePrivateFile(state, `${dataDir}/pg_hba.conf`, HBA);
  await writePrivateFile(state, logFile, "");

  const args = [
    "start",
    "--silent",
    "--wait",
    `--timeout=${START_DEADLINE_SECONDS}`,
    "-D",
    dataDir,
    "-l",
    logFile,
  ];
  const started = await runProgram(`${installed.binDir}/pg_ctl`, args, { account: state.account });
  const pid = started.success ? await serverPid(dataDir) : undefined;
  if (pid !== undefined) return { pid, dataDir, socketDir, logFile };
  const log = await Deno.readTextFile(logFile).catch(() => "");
  throw new LocalPostgresError(
    `Cannot start Postgres on "${dataDir}"; the last lines of "${logFile}":\n` +
      lastLines(log.trim() === "" ? started.stderr : log, 8),
  );
}

/** Removes the folder of a stopped server's socket. */
export function removeSocketDir(dir: string): void {
  for (const path of [nearSocketDir(dir), shortSocketDir(dir)]) {
    rmSync(path, { recursive: true, force: true });
  }
}

/** Removes a server's folder, also where it is a link, and its socket's. The server must be stopped. */
export function removeServerDir(dir: string): void {
  const target = linkTarget(dir);
  for (const path of [target, dir, shortSocketDir(dir)]) {
    if (path !== undefined) rmSync(path, { recursive: true, force: true });
  }
}

function linkTarget(path: string): string | undefined {
  try {
    const target = Deno.readLinkSync(path);
    // a link that a person has put there leads to what is theirs
    return target.startsWith(MEMORY_DIR_PREFIX) ? target : undefined;
  } catch {
    return undefined;
  }
}

async function makeSocketDir(state: StateDir, dir: string): Promise<string> {
  const near = nearSocketDir(dir);
  const fits = new TextEncoder().encode(`${near}/.s.PGSQL.65535`).length <= LONGEST_SOCKET_PATH;
  const socketDir = fits ? near : shortSocketDir(dir);
  await makePrivateDir(state, socketDir);
  const found = await Deno.lstat(socketDir);
  // anybody may have put a folder or a link of that name into /tmp before us
  if (!found.isDirectory || found.uid !== (state.account?.uid ?? Deno.uid()) || (found.mode! & 0o077) !== 0) {
    throw new LocalPostgresError(`Cannot use "${socketDir}" for a socket: it must be ours, with mode 0700`);
  }
  return socketDir;
}

function nearSocketDir(dir: string): string {
  return `${dir}/socket`;
}

function shortSocketDir(dir: string): string {
  return `/tmp/supabase-job-monitor-${digest(resolve(dir), 12)}`;
}

function configText(settings: Record<string, string>): string {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`);
  return `# written anew at each start\n${lines.join("\n")}\n`;
}
