/** Local Postgres clusters with pg_cron: made, started and stopped. */
import { statfs } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { findPostgres, type Postgres } from "./find_postgres.ts";
import { LocalPostgresError, mustRun } from "./run_program.ts";
import {
  MEMORY_DIR_PREFIX,
  removeServerDir,
  removeSocketDir,
  type RunningServer,
  serverSettings,
  startServer,
} from "./server.ts";
import { serverPid, type StopMode, stopServer, stopServerSync } from "./server_process.ts";
import {
  makePrivateDir,
  type Passwords,
  type StateDir,
  stateDir,
  withLock,
  writePrivateFile,
} from "./state_dir.ts";
import { type BuiltTemplate, ensureTemplate, projectTemplate, type Template } from "./template.ts";

export { findPostgres, LocalPostgresError, type Postgres, type StopMode, type Template };

/** How {@link startCluster} makes a cluster. */
export interface ClusterOptions {
  /** Names the cluster's folder: lower case letters, digits, `-` and `_`. */
  name: string;
  /** TCP port on 127.0.0.1; 0: any free one. */
  port: number;
  /** Folder of the stack's state, such as `.local`. Root's servers keep their data elsewhere: see `state_dir.ts`. */
  rootDir: string;
  /** Whether a missing Postgres may be installed. Default `never`. */
  install?: "allow" | "never";
  /** An installation found before; spares the search. */
  postgres?: Postgres;
  /** Added to the server's settings. */
  settings?: Record<string, string>;
  /** What the cluster is a copy of. Default: Supabase's roles, and pg_cron in database `postgres`. */
  template?: Template;
  /** `keep`: go on with the data of the last time, where it came from the same template. Default `keep`. */
  data?: "keep" | "fresh";
  /** `memory`: keep fresh data in memory where there is room, for clusters that live shortly. Default `disk`. */
  storage?: "disk" | "memory";
  /** When a server of that name runs already: refuse, or stop it first. Default `fail`. */
  ifRunning?: "fail" | "restart";
  /** Told what takes long. */
  report?: (line: string) => void;
}

/** A running cluster. */
export interface Cluster {
  name: string;
  port: number;
  pid: number;
  dataDir: string;
  logFile: string;
  /** Database `postgres` as role `postgres`. */
  dbUrl: string;
  /** Database `postgres` as superuser `supabase_admin`. */
  adminDbUrl: string;
  /** Any database, as a role that may log in. Default role `postgres`. */
  databaseUrl(database: string, role?: keyof Passwords): string;
  /** Stops the server; keeps its data. Default mode `fast`. */
  stop(mode?: StopMode): Promise<void>;
  /** Stops the server and removes its data. */
  remove(): Promise<void>;
  /** {@link Cluster.remove} for moments that wait for nothing, such as the `unload` event. */
  removeSync(): void;
}

/**
 * Starts a cluster, copied from its template where it has no data yet.
 * @throws {LocalPostgresError} naming what is in the way, and the log's last lines.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { name, rootDir, report = () => {} } = options;
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) {
    throw new LocalPostgresError(
      `Cannot name a cluster "${name}": use lower case letters, digits, "-" and "_"`,
    );
  }
  const installed = options.postgres ?? await findPostgres({ install: options.install ?? "never", report });
  const state = await stateDir(rootDir);
  const dir = `${state.dir}/clusters/${name}`;
  await refuseOrStop(name, `${dir}/data`, options.ifRunning ?? "fail");
  if (options.port !== 0) refuseTakenPort(name, options.port);

  const template = options.template ?? await projectTemplate();
  const built = await ensureTemplate(installed, state, template);
  await prepareData(state, dir, built, options);
  const start = async (port: number) => {
    const server = await startServer({ installed, state, dir }, (socketDir) => ({
      ...serverSettings({ port, socketDir }),
      ...template.settings,
      ...options.settings,
    }));
    return cluster(name, port, dir, server, built.passwords);
  };
  return options.port === 0 ? await onFreePort(start) : await start(options.port);
}

/** Tries again where another program was quicker to take the port. */
async function onFreePort(start: (port: number) => Promise<Cluster>, attempts = 3): Promise<Cluster> {
  try {
    return await start(freePort());
  } catch (error) {
    const taken = error instanceof LocalPostgresError && /could not bind/.test(error.message);
    if (!taken || attempts <= 1) throw error;
    return await onFreePort(start, attempts - 1);
  }
}

/** Stops the server of a data directory from any process; fine where none runs or it was killed. */
export async function stopCluster(dataDir: string, mode: StopMode = "fast"): Promise<void> {
  await stopServer(dataDir, mode);
  removeSocketDir(dirname(dataDir));
}

/** Stops every server of a state folder, or those named, whoever started them. Answers the names of those that ran. */
export async function stopAllClusters(rootDir: string, names?: readonly string[]): Promise<string[]> {
  const { dir } = await stateDir(rootDir);
  const wanted = (await clustersOf(rootDir)).filter((name) => names?.includes(name) ?? true);
  const ran = await Promise.all(wanted.map(async (name) => {
    const dataDir = `${dir}/clusters/${name}/data`;
    const running = await serverPid(dataDir) !== undefined;
    await stopCluster(dataDir);
    return running ? [name] : [];
  }));
  return ran.flat();
}

/** Names of the clusters that a state folder holds, running or not. */
export async function clustersOf(rootDir: string): Promise<string[]> {
  const { dir } = await stateDir(rootDir);
  return (await Array.fromAsync(Deno.readDir(`${dir}/clusters`))).map((entry) => entry.name).sort();
}

/** Stops a cluster where it runs and removes its data; fine where there is none. */
export async function removeCluster(rootDir: string, name: string): Promise<void> {
  const dir = `${(await stateDir(rootDir)).dir}/clusters/${name}`;
  await stopServer(`${dir}/data`, "immediate");
  removeServerDir(dir);
}

/** A TCP port on 127.0.0.1 that nobody uses at this moment. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function refuseOrStop(name: string, dataDir: string, ifRunning: "fail" | "restart"): Promise<void> {
  const pid = await serverPid(dataDir);
  if (pid !== undefined && ifRunning === "fail") {
    throw new LocalPostgresError(`Cannot start cluster "${name}": it runs already, as process ${pid}`);
  }
  await stopServer(dataDir, "fast");
  // whatever wrote this file is gone, and its number may be another server's by now
  await Deno.remove(`${dataDir}/postmaster.pid`).catch(() => {});
}

function refuseTakenPort(name: string, port: number): void {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new LocalPostgresError(`Cannot start cluster "${name}": port ${port} is taken by another program`);
  }
}

/** Leaves data that came from the same template; else copies the template. */
async function prepareData(
  state: StateDir,
  dir: string,
  built: BuiltTemplate,
  { data = "keep", storage = "disk", report = () => {} }: ClusterOptions,
): Promise<void> {
  const origin = await Deno.readTextFile(`${dir}/origin`).catch(() => undefined);
  if (origin === built.fingerprint && data === "keep") return;
  if (origin !== undefined && data === "keep") {
    report(`Making the data in "${dir}" anew: it came from another template`);
  }
  removeServerDir(dir);
  const memory = storage === "memory" ? await dirInMemory() : undefined;
  if (memory !== undefined) await Deno.symlink(memory, dir);
  await makePrivateDir(state, memory ?? dir);
  await withLock(state, "shared", async () => {
    await mustRun("copy a data directory", "cp", ["-a", built.dataDir, `${dir}/data`]);
  });
  // last, so that a copy which was cut off is made again
  await writePrivateFile(state, `${dir}/origin`, built.fingerprint);
}

/**
 * A new folder in memory, where there is room. Besides speed, it spares ext4, which slows down where many files are
 * made shortly after many were removed.
 */
async function dirInMemory(): Promise<string | undefined> {
  const free = await statfs(dirname(MEMORY_DIR_PREFIX)).then(({ bavail, bsize }) => bavail * bsize, () => 0);
  if (free < MEMORY_NEEDED_BYTES) return undefined;
  return await Deno.makeTempDir({ dir: dirname(MEMORY_DIR_PREFIX), prefix: basename(MEMORY_DIR_PREFIX) });
}

const MEMORY_NEEDED_BYTES = 1024 ** 3;

function cluster(
  name: string,
  port: number,
  dir: string,
  server: RunningServer,
  passwords: Passwords,
): Cluster {
  const databaseUrl = (database: string, role: keyof Passwords = "postgres") =>
    `postgres://${role}:${passwords[role]}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
  const stop = (mode: StopMode = "fast") => stopCluster(server.dataDir, mode);
  return {
    name,
    port,
    pid: server.pid,
    dataDir: server.dataDir,
    logFile: server.logFile,
    dbUrl: databaseUrl("postgres"),
    adminDbUrl: databaseUrl("postgres", "supabase_admin"),
    databaseUrl,
    stop,
    remove: async () => {
      await stop("immediate");
      removeServerDir(dir);
    },
    removeSync: () => {
      stopServerSync(server.dataDir, server.pid);
      removeServerDir(dir);
    },
  };
}
