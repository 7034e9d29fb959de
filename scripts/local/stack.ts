/**
 * The local stack: four Postgres servers with pg_cron, the hub's schema, the functions behind their gateway, and a sink
 * that poses as Discord and Telegram. Started with as much side by side as the order allows, ended without a trace.
 */
import { join } from "node:path";
import postgres from "postgres";
import { type Sink, type SinkDelivery, startSink } from "../../tests/fakes/sink.ts";
import { createDemoJobs, type DemoResult } from "./demo_jobs.ts";
import { downloadPackages } from "./function_process.ts";
import { type FunctionSettings, readFunctionsConfig } from "./functions_config.ts";
import { type BootFailure, type Gateway, startGateway } from "./gateway.ts";
import { putVaultSecret, routeAlerts } from "./hub_settings.ts";
import { hubStandInsSql } from "./hub_stand_ins.ts";
import { applyMigrations, type MigrationsResult } from "./migrations.ts";
import { type PgNetWorker, startPgNetWorker } from "./pg_net_worker.ts";
import { explainPortConflicts, findPortConflicts, PortsError, type StackPorts } from "./ports.ts";
import { type Cluster, findPostgres, LocalPostgresError, type Postgres, startCluster } from "./postgres.ts";
import { CONFIG_TOML, LOCK_FILE, MIGRATIONS_DIR } from "./repository.ts";
import type { Screen } from "./screen.ts";
import { functionEnvironment, readUserSecrets } from "./stack_env.ts";
import {
  type Leftovers,
  processMarker,
  removeLeftovers,
  removeStackInfo,
  type StackInfo,
  type StackKeys,
  stackKeysOf,
  takeLock,
  writeStackInfo,
} from "./state.ts";
import { taskRunner } from "./task_runner.ts";

/** What kind of stack to start. */
export interface StackOptions {
  /** Folder of the stack's state. */
  rootDir: string;
  ports: StackPorts;
  /** `keep` goes on with the data of the last time. */
  data: "keep" | "fresh";
  jobs: "demo" | "none";
  /** Secrets of the user's own for the functions, `KEY=VALUE` a line; it need not exist. */
  secretsFile: string;
  screen: Screen;
  /** Told each request that the sink receives, also what it refuses. */
  onAlert: (alert: SinkDelivery) => void;
  /** Gives up starting. */
  signal: AbortSignal;
}

/** A running stack. */
export interface Stack {
  readonly info: StackInfo;
  readonly sink: Sink;
  readonly gateway: Gateway;
  /** Functions that could not be started. */
  readonly bootFailures: readonly BootFailure[];
  readonly demo: readonly DemoResult[];
}

/** Another process runs a stack from the same folder. */
export class StackRunningError extends Error {
  readonly pid: number | undefined;

  constructor(pid: number | undefined) {
    super(`Cannot start a second stack: one is running${pid === undefined ? "" : ` (process ${pid})`}`);
    this.name = "StackRunningError";
    this.pid = pid;
  }
}

/** The hub, which watches itself too. */
export const HUB = "thordata";
/** The other projects, as the seeds name them. */
const PROJECTS = ["smoothed", "blingsting", "scraping"] as const;

/** Everything that must be ended, from the moment at which it begins to start. */
interface Parts {
  gateway?: Promise<Gateway>;
  worker?: Promise<PgNetWorker>;
  clusters: Promise<Cluster>[];
  sink?: Promise<Sink>;
}

type Clusters = Readonly<Record<typeof HUB | (typeof PROJECTS)[number], Cluster>>;

/**
 * Starts a stack and gives it to `use`; afterwards ends every part of it, however `use` or the start went.
 *
 * @throws {StackRunningError | PortsError | LocalPostgresError | FunctionsConfigError} with messages for a person.
 */
export async function withStack<T>(options: StackOptions, use: (stack: Stack) => Promise<T>): Promise<T> {
  const lock = await takeLock(options.rootDir);
  if ("heldBy" in lock) throw new StackRunningError(lock.heldBy);
  const parts: Parts = { clusters: [] };
  const ending = new AbortController();
  const signal = AbortSignal.any([options.signal, ending.signal]);
  try {
    return await unlessAborted(signal, async () => {
      tellLeftovers(options.screen, await removeLeftovers(options.rootDir));
      return await use(await start({ ...options, signal }, parts));
    });
  } finally {
    // What still starts after a failure elsewhere begins nothing more.
    ending.abort();
    await endParts(options.screen, parts);
    await removeStackInfo(options.rootDir);
    await lock.release();
  }
}

/** The work's outcome, or the reason of an abort as soon as there is one. */
async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    signal.throwIfAborted();
    return await Promise.race([work(), aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Begins a part unless the stack is already ending, when nobody would end it. */
function begin<T>(signal: AbortSignal, startPart: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  return startPart();
}

async function start(options: StackOptions, parts: Parts): Promise<Stack> {
  const { rootDir, ports, screen, signal } = options;
  const [installed, functions, secrets, keys] = await Promise.all([
    findServer(options),
    readFunctionsConfig(CONFIG_TOML),
    readUserSecrets(options.secretsFile),
    stackKeysOf(rootDir, options.data),
  ]);
  for (const reason of secrets.refused) screen.warn(`Left out of the functions' secrets: ${reason}`);
  parts.sink = begin(signal, () => startSink({ port: ports.sink, onDelivery: options.onAlert }));
  const sink = await parts.sink;
  const [clusters] = await Promise.all([
    startServers(options, parts, installed),
    download(screen, functions),
  ]);
  const info = stackInfo(options, clusters, sink, keys);
  const env = functionEnvironment({
    gatewayUrl: info.gateway_url,
    hubDbUrl: info.hub_db_url,
    projectDbUrls: Object.fromEntries(info.projects.map(({ name, db_url }) => [name, db_url])),
    keys,
    sink,
  }, secrets.values);
  const hubReady = prepareHub(options, parts, clusters[HUB], { keys, gatewayUrl: info.gateway_url });
  const [[gateway, bootFailures], demo] = await Promise.all([
    startFunctions(options, parts, functions, env),
    options.jobs === "demo" ? createAllDemoJobs(options, clusters, hubReady, info.functions_url) : [],
    hubReady,
  ]);
  signal.throwIfAborted();
  await writeStackInfo(rootDir, info);
  return { info, sink, gateway, bootFailures, demo };
}

/** Looks for Postgres, installing it where that is possible, while the ports are looked at. */
async function findServer({ ports, screen }: StackOptions): Promise<Postgres> {
  const conflicts = await findPortConflicts(ports);
  if (conflicts.length > 0) throw new PortsError([explainPortConflicts(conflicts)]);
  return await screen.step(
    "Postgres with pg_cron",
    () => findPostgres({ install: "allow", report: screen.detail }),
    ({ version, binDir }) => `${version} in ${binDir}`,
  );
}

async function download(screen: Screen, functions: FunctionSettings[]): Promise<void> {
  await screen.step("Packages of the functions", () => downloadPackages(functions, LOCK_FILE, screen.detail));
}

async function startServers(options: StackOptions, parts: Parts, installed: Postgres): Promise<Clusters> {
  const { rootDir, ports, screen, data, signal } = options;
  const beginServer = (name: string, port: number) => {
    const settings = { name, port, rootDir, postgres: installed, data, report: screen.detail };
    const cluster = begin(signal, () => startCluster(settings));
    parts.clusters.push(cluster);
    return cluster;
  };
  return await screen.step("Four servers", async () => {
    const [hub, smoothed, blingsting, scraping] = await Promise.all([
      beginServer(HUB, ports.hub),
      ...PROJECTS.map((name) => beginServer(name, ports[name])),
    ] as [Promise<Cluster>, Promise<Cluster>, Promise<Cluster>, Promise<Cluster>]);
    return { thordata: hub, smoothed, blingsting, scraping };
  }, () => `${PROJECTS.map((name) => `${name} :${ports[name]}`).join(", ")}, ${HUB} (the hub) :${ports.hub}`);
}

async function prepareHub(
  { screen, signal }: StackOptions,
  parts: Parts,
  hub: Cluster,
  { keys, gatewayUrl }: { keys: StackKeys; gatewayUrl: string },
): Promise<void> {
  await screen.step(
    "The hub",
    async () => {
      await withClient(hub.adminDbUrl, async (admin) => {
        const [has] =
          await admin`select to_regnamespace('net') is not null and to_regnamespace('vault') is not null as both`;
        if (has?.["both"] !== true) await admin.unsafe(await hubStandInsSql());
      });
      signal.throwIfAborted();
      parts.worker = startPgNetWorker({ adminDbUrl: hub.adminDbUrl });
      const [done] = await Promise.all([
        migrate(hub),
        parts.worker,
      ]);
      await withClient(hub.dbUrl, async (sql) => {
        await putVaultSecret(sql, "project_url", gatewayUrl);
        await putVaultSecret(sql, "monitor_secret_key", keys.monitor);
        await routeAlerts(sql);
      });
      return done;
    },
    ({ applied, already }) =>
      `${applied.length} migrations applied${
        unlessNone(already.length, "before")
      }; Vault and pg_net stand-ins`,
  );
}

function unlessNone(count: number, what: string): string {
  return count === 0 ? "" : `, ${count} ${what}`;
}

/** A kept database may be older than a migration that was still allowed to change. */
async function migrate(hub: Cluster): Promise<MigrationsResult> {
  try {
    return await applyMigrations({ dbUrl: hub.dbUrl, dir: MIGRATIONS_DIR, report: () => {} });
  } catch (error) {
    if (!(error instanceof LocalPostgresError)) throw error;
    throw new LocalPostgresError(
      `${error.message}\nWith new, empty databases: ${taskRunner()} start --fresh`,
    );
  }
}

async function startFunctions(
  { rootDir, ports, screen, signal }: StackOptions,
  parts: Parts,
  functions: FunctionSettings[],
  env: Record<string, string>,
): Promise<[Gateway, BootFailure[]]> {
  return await screen.step("The functions", async () => {
    const settings = { port: ports.gateway, functions, env, logDir: logDirOf(rootDir), lockFile: LOCK_FILE };
    parts.gateway = begin(signal, () => startGateway({ ...settings, marker: processMarker(rootDir) }));
    const gateway = await parts.gateway;
    return [gateway, await gateway.warm()] as [Gateway, BootFailure[]];
  }, ([gateway]) => `${gateway.functions.length} served as deployed, on :${ports.gateway}`);
}

/** Where the functions' logs are. */
export function logDirOf(rootDir: string): string {
  return join(rootDir, "logs");
}

async function createAllDemoJobs(
  { screen }: StackOptions,
  clusters: Clusters,
  hubReady: Promise<void>,
  functionsUrl: string,
): Promise<DemoResult[]> {
  const create = async (project: keyof Clusters) => {
    // Its jobs call pg_net, which must be there when they first fire.
    if (project === HUB) await hubReady;
    const { adminDbUrl, dbUrl } = clusters[project];
    return await withClient(
      adminDbUrl,
      (admin) => withClient(dbUrl, (sql) => createDemoJobs({ project, admin, sql, functionsUrl })),
    );
  };
  return await screen.step(
    "Demo jobs in pg_cron",
    () => Promise.all([...PROJECTS, HUB].map((project) => create(project as keyof Clusters))),
    (results) => {
      const count = (key: "created" | "kept") => results.reduce((sum, result) => sum + result[key], 0);
      return `${count("created")} scheduled${unlessNone(count("kept"), "kept")}`;
    },
  );
}

function stackInfo({ ports }: StackOptions, clusters: Clusters, sink: Sink, keys: StackKeys): StackInfo {
  const gatewayUrl = `http://127.0.0.1:${ports.gateway}`;
  return {
    gateway_url: gatewayUrl,
    functions_url: `${gatewayUrl}/functions/v1`,
    secret_key: keys.default,
    publishable_key: keys.publishable,
    hub_db_url: clusters[HUB].dbUrl,
    projects: [...PROJECTS, HUB].map((name) => {
      const { dbUrl, adminDbUrl } = clusters[name as keyof Clusters];
      return { name, db_url: dbUrl, admin_db_url: adminDbUrl };
    }),
    sink_url: sink.url,
    pid: Deno.pid,
    started_at: new Date().toISOString(),
  };
}

/** One connection, closed afterwards. */
export async function withClient<T>(url: string, use: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return await use(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** What calls ends before what is called; a part that never started needs no end. */
async function endParts(screen: Screen, parts: Parts): Promise<void> {
  if (parts.sink === undefined) return;
  await screen.step("Stopped", async () => {
    await settled(parts.gateway, (gateway) => gateway.stop());
    await settled(parts.worker, (worker) => worker.stop());
    await Promise.all(parts.clusters.map((cluster) => settled(cluster, ({ stop }) => stop())));
    await settled(parts.sink, (sink) => sink.close());
  });
}

async function settled<T>(part: Promise<T> | undefined, end: (part: T) => Promise<void>): Promise<void> {
  const [outcome] = await Promise.allSettled([part]);
  if (outcome?.status === "fulfilled" && outcome.value !== undefined) await end(outcome.value);
}

function tellLeftovers(screen: Screen, { servers, processes, info }: Leftovers): void {
  if (servers.length === 0 && processes === 0 && !info) return;
  const ended = [
    ...servers.map((name) => `server ${name}`),
    ...(processes > 0 ? [`${processes} functions`] : []),
  ];
  const what = ended.length > 0 ? `; ended ${ended.join(", ")}` : "";
  screen.warn(`The last stack was killed${what}`);
}
