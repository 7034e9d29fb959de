/** A local stack of a test's own: own ports, own data, started and ended as a person would, by `start` and `stop`. */
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PORT_ROLES, type PortRole, portVariable } from "../../scripts/local/ports.ts";
import { listProcesses } from "../../scripts/local/processes.ts";
import { processExists } from "../../scripts/local/server_process.ts";
import { processMarker, readStackInfo, type StackInfo } from "../../scripts/local/state.ts";
import { removeStateDir, stateDir } from "../../scripts/local/state_dir.ts";
import { waitFor } from "./wait_for.ts";

/** Where a test's stack lives. Nothing runs yet. */
export interface StackPlace {
  readonly rootDir: string;
  /** Sets every port. */
  readonly env: Record<string, string>;
  portOf(role: PortRole): number;
  /** One more port, which nothing of the stack uses. */
  readonly sparePort: number;
  /** Processes of this stack, whoever their parent is, as their command lines. Only Linux shows the servers. */
  processes(): Promise<string[]>;
  /** Ends what may still run, and removes the data. */
  remove(): Promise<void>;
}

/** A script that has ended. */
export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** A `start` that runs. */
export interface RunningStart {
  readonly child: Deno.ChildProcess;
  /** Everything printed so far, on both streams. */
  printed(): string;
  hasEnded(): boolean;
  /** The exit code. */
  readonly ended: Promise<number>;
}

/** How a test launches a stack. */
export type Launcher = "none" | "shell" | "group";

/** Begins the name of a stack's folder; the number of the process whose test it is follows. */
const ROOT_DIR_PREFIX = "stack_test_";

/** Longest start of a stack in a test, in milliseconds; an installation of Postgres is not in it. */
export const START_DEADLINE_MS = 120_000;

/** Gives a place for a stack, with free ports, and clears it away whatever happens. */
export async function withStackPlace(use: (place: StackPlace) => Promise<void>): Promise<void> {
  const place = await createStackPlace();
  try {
    await use(place);
  } finally {
    await place.remove();
  }
}

async function createStackPlace(): Promise<StackPlace> {
  const rootDir = await Deno.makeTempDir({ prefix: `${ROOT_DIR_PREFIX}${Deno.pid}_` });
  const { dir } = await stateDir(rootDir);
  const block = reservePorts();
  const portOf = (role: PortRole) => block.ports[PORT_ROLES.indexOf(role)] ?? 0;
  return {
    rootDir,
    env: Object.fromEntries(PORT_ROLES.map((role) => [portVariable(role), String(portOf(role))])),
    portOf,
    sparePort: block.ports[PORT_ROLES.length] ?? 0,
    processes: () => processesOf(rootDir, dir),
    remove: async () => {
      using _ = block;
      await removeStack(rootDir);
    },
  };
}

async function removeStack(rootDir: string): Promise<void> {
  await runScript("stop", ["--root-dir", rootDir]);
  await removeStateDir(rootDir);
  await Deno.remove(rootDir, { recursive: true });
}

/** Ends and removes the stacks of test runs that were killed; answers their folders. */
export async function removeAbandonedStacks(): Promise<string[]> {
  const removed: string[] = [];
  for await (const { name } of Deno.readDir(tmpdir())) {
    const owner = new RegExp(`^${ROOT_DIR_PREFIX}(\\d+)_`).exec(name)?.[1];
    if (owner === undefined || processExists(Number(owner))) continue;
    removed.push(join(tmpdir(), name));
    await removeStack(join(tmpdir(), name));
  }
  return removed;
}

/** Below what systems give to those who ask for any port, so that nobody takes one before the stack does. */
const PORTS_FROM = 20_000;
const PORTS_UNTIL = 32_000;
const BLOCK = PORT_ROLES.length + 2;

/**
 * Ports that are free and stay so: other tests, of whatever run, take blocks of their own. A block is taken as long as
 * its first port is listened on; the others are for use.
 */
function reservePorts(): { ports: number[] } & Disposable {
  const blocks = Math.floor((PORTS_UNTIL - PORTS_FROM) / BLOCK);
  const first = Math.floor(Math.random() * blocks);
  for (let tried = 0; tried < blocks; tried++) {
    const [guard = 0, ...ports] = Array.from(
      { length: BLOCK },
      (_, index) => PORTS_FROM + (first + tried) % blocks * BLOCK + index,
    );
    const listener = listenOn(guard);
    if (listener === null) continue;
    if (ports.every(isFree)) return { ports, [Symbol.dispose]: () => listener.close() };
    listener.close();
  }
  throw new Error(`Cannot find ${BLOCK} free ports in a row from ${PORTS_FROM} to ${PORTS_UNTIL}`);
}

function isFree(port: number): boolean {
  using listener = listenOn(port);
  return listener !== null;
}

function listenOn(port: number): Deno.Listener | null {
  try {
    return Deno.listen({ hostname: "127.0.0.1", port });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return null;
    throw error;
  }
}

/** Runs `scripts/<name>.ts` to its end. */
export async function runScript(
  name: "start" | "stop",
  args: string[],
  env: Record<string, string> = {},
): Promise<Finished> {
  const output = await command(name, args, env).output();
  const decoder = new TextDecoder();
  return { code: output.code, stdout: decoder.decode(output.stdout), stderr: decoder.decode(output.stderr) };
}

/** Starts a stack and waits until it is up, which is when it tells how to stop it. */
export async function startStack(
  place: StackPlace,
  args: string[] = [],
): Promise<RunningStart & { info: StackInfo }> {
  const start = beginStart(place, args);
  await waitUntilUp(start);
  const info = await readStackInfo(place.rootDir);
  if (info === undefined) throw new Error(`The stack did not start; it printed:\n${start.printed()}`);
  return { ...start, info };
}

/** Waits until the stack tells how to stop it; throws when it ends instead. */
export async function waitUntilUp(start: RunningStart): Promise<void> {
  await waitFor(() => /Alerts appear here/.test(start.printed()) || start.hasEnded(), {
    what: () => `the stack to be up; it printed:\n${start.printed()}`,
    withinMs: START_DEADLINE_MS,
  });
  if (start.hasEnded()) throw new Error(`The stack did not start; it printed:\n${start.printed()}`);
}

/**
 * Starts a stack without waiting; the child is the stack's process, or a shell that launches it, as npx would, or it
 * leads a group of processes, as at a terminal.
 */
export function beginStart(
  place: StackPlace,
  args: string[] = [],
  launcher: Launcher = "none",
): RunningStart {
  const child = command("start", ["--root-dir", place.rootDir, ...args], place.env, launcher).spawn();
  let text = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  };
  const read = Promise.all([collect(child.stdout), collect(child.stderr)]);
  let gone = false;
  const ended = child.status.then(async ({ code }) => {
    gone = true;
    await read;
    return code;
  });
  return { child, printed: () => text, hasEnded: () => gone, ended };
}

function command(
  name: "start" | "stop",
  args: string[],
  env: Record<string, string>,
  launcher: Launcher = "none",
): Deno.Command {
  const script = fileURLToPath(new URL(`../../scripts/${name}.ts`, import.meta.url));
  const line = [Deno.execPath(), "run", "-A", "--quiet", script, ...args];
  const quoted = line.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  return new Deno.Command(launcher === "shell" ? "sh" : Deno.execPath(), {
    // Without the second command the shell would become the first one.
    args: launcher === "shell" ? ["-c", `${quoted}; true`] : line.slice(1),
    env: { ...env, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: launcher === "group",
  });
}

/** Waits until no process of the stack is left, and looks for what it tells while it runs. */
export async function assertNothingLeft(place: StackPlace): Promise<void> {
  await waitFor(async () => (await place.processes()).length === 0, {
    what: "no process of the stack to be left",
    withinMs: 30_000,
  });
  await assert.rejects(Deno.stat(`${place.rootDir}/stack.json`), Deno.errors.NotFound);
}

async function processesOf(rootDir: string, dataDir: string): Promise<string[]> {
  const marker = processMarker(rootDir);
  const all = await listProcesses();
  const own = await Promise.all(all.map(async ({ pid, args }) => {
    const line = args.join(" ");
    const folder = await Deno.readLink(`/proc/${pid}/cwd`).catch(() => "");
    const started = line.includes(`--root-dir ${rootDir}`) || line.endsWith(marker);
    return started || folder.startsWith(dataDir) ? [`${pid} ${line}`] : [];
  }));
  return own.flat();
}
