/**
 * What a running stack leaves for others to find: a lock that the system releases when its process dies, however it
 * dies, and `stack.json`, which tells how to reach everything.
 */
import { join, resolve } from "node:path";
import { z } from "zod";
import { stopAllClusters } from "./postgres.ts";
import { isProcessUp, killProcess, listProcesses } from "./processes.ts";

/** One watched project of the stack. */
const stackProject = z.object({
  name: z.string(),
  /** As role `postgres`. */
  db_url: z.string(),
  /** As the superuser `supabase_admin`. */
  admin_db_url: z.string(),
});

const stackInfo = z.object({
  gateway_url: z.string(),
  functions_url: z.string(),
  /** The default secret key, for the header `apikey`. */
  secret_key: z.string(),
  publishable_key: z.string(),
  hub_db_url: z.string(),
  projects: z.array(stackProject),
  sink_url: z.string(),
  pid: z.number().int(),
  /** ISO 8601. */
  started_at: z.string(),
});

/** How to reach a running stack. Holds secrets of this machine only. */
export type StackInfo = z.infer<typeof stackInfo>;

/** The keys that callers of the functions send. */
const stackKeys = z.object({
  default: z.string(),
  monitor: z.string(),
  publishable: z.string(),
});
export type StackKeys = z.infer<typeof stackKeys>;

/** The folder of a stack's state where nothing else is said. */
export const DEFAULT_ROOT_DIR = ".local";

/** A lock that is held until `release` or the end of this process. */
export interface StackLock {
  release(): Promise<void>;
}

/** Takes the stack's lock, or answers which process has it. */
export async function takeLock(rootDir: string): Promise<StackLock | { heldBy: number | undefined }> {
  await Deno.mkdir(rootDir, { recursive: true });
  const file = await Deno.open(lockPath(rootDir), { create: true, read: true, write: true });
  if (!(await file.tryLock(true))) {
    file.close();
    return { heldBy: await lockHolder(rootDir) };
  }
  await file.truncate(0);
  await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
  return {
    release: async () => {
      await file.unlock();
      file.close();
    },
  };
}

/** The process that runs the stack, if one does. */
export async function runningStack(rootDir: string): Promise<{ pid: number | undefined } | undefined> {
  try {
    using file = await Deno.open(lockPath(rootDir), { read: true, write: true });
    if (await file.tryLock(true)) return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return { pid: await lockHolder(rootDir) };
}

/** Reads `stack.json`; `undefined` where there is none, or one that an unfinished write or another version left. */
export async function readStackInfo(rootDir: string): Promise<StackInfo | undefined> {
  return await readJson(infoPath(rootDir), stackInfo);
}

/** Writes `stack.json`, whole or not at all, for this user only. */
export async function writeStackInfo(rootDir: string, info: StackInfo): Promise<void> {
  await writeJson(infoPath(rootDir), info);
}

/** Removes `stack.json`. */
export async function removeStackInfo(rootDir: string): Promise<void> {
  await removeFile(infoPath(rootDir));
}

/** The stack's keys, random, the same at every start so that a command that once worked goes on working. */
export async function stackKeysOf(rootDir: string, data: "keep" | "fresh"): Promise<StackKeys> {
  const path = join(rootDir, "keys.json");
  const kept = data === "keep" ? await readJson(path, stackKeys) : undefined;
  if (kept !== undefined) return kept;
  const keys = {
    default: `sb_secret_${randomText()}`,
    monitor: `sb_secret_${randomText()}`,
    publishable: `sb_publishable_${randomText()}`,
  };
  await writeJson(path, keys);
  return keys;
}

/** The last argument of every process that a stack starts, by which it is known whoever its parent is. */
export function processMarker(rootDir: string): string {
  return `--stack=${resolve(rootDir)}`;
}

/** What a killed stack had left. */
export interface Leftovers {
  /** Names of the Postgres servers that still ran. */
  servers: string[];
  /** Other processes that still ran. */
  processes: number;
  /** Whether its `stack.json` was still there. */
  info: boolean;
}

/** Ends whatever an earlier stack left. Only to be called while no stack runs. */
export async function removeLeftovers(rootDir: string): Promise<Leftovers> {
  const marker = processMarker(rootDir);
  const marked = (await listProcesses()).filter(({ args, pid }) =>
    args.join(" ").endsWith(` ${marker}`) && pid !== Deno.pid
  );
  for (const { pid } of marked) killProcess(pid, "SIGKILL");
  const servers = await stopAllClusters(rootDir);
  for (const { pid } of marked) await goneWithin(pid, 5_000);
  const info = await removeFile(infoPath(rootDir));
  return { servers, processes: marked.length, info };
}

/** Whether the process ended before the time was up. */
export async function goneWithin(pid: number, milliseconds: number): Promise<boolean> {
  const deadline = Date.now() + milliseconds;
  while (await isProcessUp(pid)) {
    if (Date.now() >= deadline) return false;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  return true;
}

async function lockHolder(rootDir: string): Promise<number | undefined> {
  const pid = parseInt(await Deno.readTextFile(lockPath(rootDir)), 10);
  return Number.isNaN(pid) ? undefined : pid;
}

function lockPath(rootDir: string): string {
  return join(rootDir, "stack.lock");
}

/** Where `stack.json` is. */
export function infoPath(rootDir: string): string {
  return join(rootDir, "stack.json");
}

async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    return schema.safeParse(JSON.parse(await Deno.readTextFile(path))).data;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  const draft = `${path}.${Deno.pid}`;
  await Deno.writeTextFile(draft, JSON.stringify(value, null, 2) + "\n", { mode: 0o600 });
  await Deno.rename(draft, path);
}

async function removeFile(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function randomText(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}
