/** One edge function as a process of its own, with the permissions and the environment that the hosted runtime gives. */
import { dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type HostBoot, READY_PREFIX } from "./function_host.ts";
import type { FunctionSettings } from "./functions_config.ts";
import { type JsonLog, textLines } from "./json_log.ts";

/** A running function. */
export interface FunctionProcess {
  readonly pid: number;
  /** Loopback port on which the function answers. */
  readonly port: number;
  /** Resolves when the process is gone, however it ended. */
  readonly exited: Promise<void>;
  alive(): boolean;
  /** Lets requests and background work end, for as long as `drainMs` allowed, then ends the process. */
  stop(): Promise<void>;
  /** Ends the process at once. */
  kill(): void;
}

/** What a function's process needs besides its settings. */
export interface FunctionProcessOptions {
  /** Everything that the function sees in its environment. */
  env: Readonly<Record<string, string>>;
  /** Takes what the function prints. */
  log: JsonLog;
  /** Lock file that pins what the functions import; without one nothing is pinned. */
  lockFile: string | undefined;
  /** Path of the Deno that runs the function. */
  deno: string;
  /** Last argument of the process, by which `deno task stop` knows it as one of this stack's. */
  marker: string;
  /** Longest time to the first readiness, in milliseconds. */
  bootTimeoutMs: number;
  /** Longest graceful stop, in milliseconds. */
  drainMs: number;
}

/** The function did not become ready; the message is what its process said. */
export class FunctionBootError extends Error {
  constructor(name: string, reason: string) {
    super(`Cannot start function "${name}": ${reason}`);
    this.name = "FunctionBootError";
  }
}

/** What Deno itself needs to find its cache; the host removes all of it before the function is loaded. */
const TOOLCHAIN_VARIABLES = [
  ...["HOME", "PATH", "XDG_CACHE_HOME", "DENO_DIR"],
  ...["NPM_CONFIG_REGISTRY", "npm_config_registry"],
];

/** The hosted limit of a function's memory, in megabytes. */
const MEMORY_MB = 256;

/** What the functions import cannot be had. */
export class FunctionPackagesError extends Error {
  constructor(reason: string) {
    super(`Cannot download the packages of the functions:\n${reason}`);
    this.name = "FunctionPackagesError";
  }
}

const HOST = fileURLToPath(new URL("./function_host.ts", import.meta.url));

/** Starts the function and waits until it answers; throws {@link FunctionBootError}. */
export async function startFunctionProcess(
  settings: FunctionSettings,
  options: FunctionProcessOptions,
): Promise<FunctionProcess> {
  const child = new Deno.Command(options.deno, {
    args: hostArguments(settings, options),
    clearEnv: true,
    env: toolchainEnvironment(),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stdin = await sendBoot(child, {
    name: settings.name,
    entry: pathToFileURL(settings.entrypoint).href,
    env: options.env,
    drainMs: options.drainMs,
  });
  let running = true;
  const { ready, outputEnded, said } = watchOutput(child, options.log);
  const exited = child.status.then(async () => {
    running = false;
    await outputEnded;
    await stdin.close().catch(() => {});
  });
  const port = await waitForPort(ready, exited, options.bootTimeoutMs);
  if (typeof port !== "number") {
    if (running) child.kill("SIGKILL");
    await exited;
    throw new FunctionBootError(settings.name, port === "timeout" ? bootTimedOut(options) : said());
  }
  const signal = (name: Deno.Signal) => {
    if (running) child.kill(name);
  };
  return {
    pid: child.pid,
    port,
    exited,
    alive: () => running,
    kill: () => signal("SIGKILL"),
    stop: async () => {
      signal("SIGTERM");
      const forced = setTimeout(() => signal("SIGKILL"), options.drainMs + 2_000);
      await exited;
      clearTimeout(forced);
    },
  };
}

/**
 * Downloads what the functions import and is not in Deno's cache yet, as a deployment bundles it: a running function
 * downloads nothing.
 *
 * @param report told each download, one line a call.
 * @throws {FunctionPackagesError} with what Deno said.
 */
export async function downloadPackages(
  functions: readonly FunctionSettings[],
  lockFile: string | undefined,
  report: (line: string) => void,
): Promise<void> {
  for (const [importMap, group] of Map.groupBy(functions, (settings) => settings.importMap)) {
    const entries = group.map((settings) => settings.entrypoint);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["cache", ...resolution(importMap, lockFile), ...entries],
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const lines: string[] = [];
    for await (const line of textLines(child.stderr)) {
      if (line.startsWith("Download")) report(line);
      else lines.push(line);
    }
    if (!(await child.status).success) throw new FunctionPackagesError(lines.join("\n").trim());
  }
}

/** Only the functions' import map counts, as in a deployment, and no `deno.json` found by walking up. */
function resolution(importMap: string, lockFile: string | undefined): string[] {
  const lock = lockFile === undefined ? ["--no-lock"] : [`--lock=${lockFile}`, "--frozen"];
  return ["--no-config", `--import-map=${importMap}`, ...lock];
}

function hostArguments(settings: FunctionSettings, options: FunctionProcessOptions): string[] {
  const readable = [dirname(settings.importMap), dirname(dirname(settings.entrypoint))];
  return [
    ...[
      "run",
      "--no-prompt",
      "--quiet",
      "--cached-only",
      ...resolution(settings.importMap, options.lockFile),
    ],
    ...["--allow-net", "--allow-env", "--allow-sys", `--allow-read=${readable.join(",")}`],
    `--v8-flags=--max-old-space-size=${MEMORY_MB}`,
    HOST,
    settings.name,
    options.marker,
  ];
}

function toolchainEnvironment(): Record<string, string> {
  const values = TOOLCHAIN_VARIABLES.map((name) => [name, Deno.env.get(name)] as const);
  return Object.fromEntries(values.filter((pair): pair is [string, string] => pair[1] !== undefined));
}

/** Stdin stays open: its end tells the host that the stack is gone. */
async function sendBoot(child: Deno.ChildProcess, boot: HostBoot): Promise<WritableStreamDefaultWriter> {
  const writer = child.stdin.getWriter();
  // A process that died at once closes its stdin; its exit says more than this error.
  await writer.write(new TextEncoder().encode(JSON.stringify(boot) + "\n")).catch(() => {});
  return writer;
}

function watchOutput(child: Deno.ChildProcess, log: JsonLog) {
  const lastLines: string[] = [];
  const { promise: ready, resolve } = Promise.withResolvers<number>();
  const remember = (line: string) => {
    lastLines.push(line);
    if (lastLines.length > 12) lastLines.shift();
    return true;
  };
  const isOutput = (line: string) => {
    if (!line.startsWith(READY_PREFIX)) return true;
    resolve(Number(line.slice(READY_PREFIX.length)));
    return false;
  };
  const outputEnded = Promise.all([
    log.writeLines(child.stdout, isOutput),
    log.writeLines(child.stderr, remember),
  ]);
  return { ready, outputEnded, said: () => bootError(lastLines) };
}

/** The error of the host's own last line, else whatever Deno printed. */
function bootError(lastLines: readonly string[]): string {
  for (const line of lastLines.toReversed()) {
    if (!line.startsWith('{"level":"error","event":"boot failed"')) continue;
    const { error }: { error?: string } = JSON.parse(line);
    if (error !== undefined) return error;
  }
  return lastLines.join("\n") || "its process ended without a word";
}

function bootTimedOut(options: FunctionProcessOptions): string {
  return `it was not ready within ${options.bootTimeoutMs / 1000} s (its log is ${options.log.path})`;
}

async function waitForPort(
  ready: Promise<number>,
  exited: Promise<void>,
  timeoutMs: number,
): Promise<number | "exited" | "timeout"> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<"timeout">((resolve) => {
    timer = setTimeout(() => resolve("timeout"), timeoutMs);
  });
  try {
    return await Promise.race([ready, exited.then(() => "exited" as const), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
