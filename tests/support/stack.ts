/** A local stack of a test's own: own ports, own data, started and ended as a person would, by `start` and `stop`. */
import { fileURLToPath } from "node:url";
import { PORT_ROLES, type PortRole, portVariable } from "../../scripts/local/ports.ts";
import { freePort } from "../../scripts/local/postgres.ts";
import { listProcesses } from "../../scripts/local/processes.ts";
import { processMarker, readStackInfo, type StackInfo } from "../../scripts/local/state.ts";
import { removeStateDir, stateDir } from "../../scripts/local/state_dir.ts";
import { waitFor } from "./wait_for.ts";

/** Where a test's stack lives. Nothing runs yet. */
export interface StackPlace {
  readonly rootDir: string;
  /** Sets every port. */
  readonly env: Record<string, string>;
  portOf(role: PortRole): number;
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

/** Longest start of a stack in a test, in milliseconds; an installation of Postgres is not in it. */
export const START_DEADLINE_MS = 60_000;

/** Gives a place for a stack, with six free ports, and clears it away whatever happens. */
export async function withStackPlace(use: (place: StackPlace) => Promise<void>): Promise<void> {
  const place = await createStackPlace();
  try {
    await use(place);
  } finally {
    await place.remove();
  }
}

async function createStackPlace(): Promise<StackPlace> {
  const rootDir = await Deno.makeTempDir({ prefix: "stack_test_" });
  const ports = Object.fromEntries(PORT_ROLES.map((role) => [role, freePort()])) as Record<PortRole, number>;
  const { dir } = await stateDir(rootDir);
  return {
    rootDir,
    env: Object.fromEntries(PORT_ROLES.map((role) => [portVariable(role), String(ports[role])])),
    portOf: (role) => ports[role],
    processes: () => processesOf(rootDir, dir),
    remove: async () => {
      await runScript("stop", ["--root-dir", rootDir]);
      await removeStateDir(rootDir);
      await Deno.remove(rootDir, { recursive: true });
    },
  };
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
