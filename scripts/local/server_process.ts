/** Server processes as the operating system sees them: found by their data directory, stopped by signals. */
import { existsSync } from "node:fs";
import process from "node:process";
import { LocalPostgresError, runProgram } from "./run_program.ts";

/** How to stop: `fast` ends sessions and shuts down cleanly, `immediate` leaves recovery to the next start. */
export type StopMode = "fast" | "immediate";

const SIGNALS = { fast: "SIGINT", immediate: "SIGQUIT" } as const;
const STOP_DEADLINE_MS = 30_000;
const POLL_MS = 20;

/**
 * The running server of a data directory, by the pid file and by what that process really is: after a crash the
 * file stays, and its number may by then be somebody else's.
 */
export async function serverPid(dataDir: string): Promise<number | undefined> {
  const file = await Deno.readTextFile(`${dataDir}/postmaster.pid`).catch(() => "");
  const pid = Number(file.split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return await servesDataDir(pid, dataDir) ? pid : undefined;
}

/**
 * Stops whatever runs on a data directory and waits until it is gone, orphans of a killed server included.
 * Nothing running is fine.
 * @throws {LocalPostgresError} when something is still there after 30 s.
 */
export async function stopServer(dataDir: string, mode: StopMode): Promise<void> {
  const pid = await serverPid(dataDir);
  if (pid !== undefined) {
    signal(pid, SIGNALS[mode]);
    if (!await gone(() => servesDataDir(pid, dataDir), STOP_DEADLINE_MS)) signal(pid, "SIGKILL");
  }
  // children of a killed server notice within moments; none may outlive it
  if (await gone(async () => (await processesIn(dataDir)).length > 0, 5_000)) return;
  for (const orphan of await processesIn(dataDir)) signal(orphan, "SIGKILL");
  if (await gone(async () => (await processesIn(dataDir)).length > 0, 5_000)) return;
  throw new LocalPostgresError(`Cannot stop the server of "${dataDir}": it does not react to signals`);
}

/** Stops a server at once, for moments that wait for nothing; its data are not meant to be used again. */
export function stopServerSync(dataDir: string, pid: number): void {
  signal(pid, SIGNALS.immediate);
  const deadline = Date.now() + 5_000;
  while (processExists(pid) && existsSync(`${dataDir}/postmaster.pid`) && Date.now() < deadline) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
  }
}

/** Whether there is a process of that number, be it another account's. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

function signal(pid: number, name: Deno.Signal): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // it ended meanwhile
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}

/** Waits until `present` answers false; answers whether it did before the deadline. */
async function gone(present: () => Promise<boolean>, deadlineMs: number): Promise<boolean> {
  const deadline = Date.now() + deadlineMs;
  while (await present()) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}

/** Servers work inside their data directory; a dead process that nobody has collected works nowhere. */
async function servesDataDir(pid: number, dataDir: string): Promise<boolean> {
  if (Deno.build.os === "linux") return await worksIn(pid, await realPath(dataDir));
  const listed = await runProgram("ps", ["-o", "stat=", "-o", "command=", "-p", String(pid)]);
  return listed.success && !listed.stdout.startsWith("Z") && listed.stdout.includes(dataDir);
}

/** Every process of a data directory, backends included. Only Linux tells. */
async function processesIn(dataDir: string): Promise<number[]> {
  if (Deno.build.os !== "linux") return [];
  const real = await realPath(dataDir);
  const pids: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    if (await worksIn(Number(name), real)) pids.push(Number(name));
  }
  return pids;
}

/** A shell that somebody has opened in the folder is no server. */
async function worksIn(pid: number, realDir: string): Promise<boolean> {
  const cwd = await Deno.readLink(`/proc/${pid}/cwd`).catch(() => "");
  return cwd === realDir &&
    (await Deno.readTextFile(`/proc/${pid}/comm`).catch(() => "")).trim() === "postgres";
}

async function realPath(path: string): Promise<string> {
  return await Deno.realPath(path).catch(() => path);
}
