/** `deno task stop`: ends the local stack, also one whose own process was killed. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { killProcess } from "./local/processes.ts";
import { REPOSITORY } from "./local/repository.ts";
import { createScreen, type Screen } from "./local/screen.ts";
import { goneWithin, type Leftovers, removeLeftovers, runningStack } from "./local/state.ts";

const HELP = `Stops the local stack and everything that it started; its data stay for the next start.

Options
  --root-dir DIR   the stack whose state is in DIR (default .local; STACK_ROOT_DIR)
  --help           show this

Exit codes: 0 nothing runs any more, 1 something could not be stopped, 2 usage.`;

/** A stack lets running requests and background work end first, which takes seconds. */
const STOP_DEADLINE_MS = 45_000;

async function main(args: string[]): Promise<number> {
  const screen = createScreen("stdout");
  let rootDir: string;
  try {
    const options = { "root-dir": { type: "string" }, help: { type: "boolean", short: "h" } } as const;
    const { values } = parseArgs({ args, options });
    if (values.help) {
      screen.print(HELP);
      return 0;
    }
    rootDir = values["root-dir"] ?? (Deno.env.get("STACK_ROOT_DIR") || join(REPOSITORY, ".local"));
  } catch (error) {
    screen.error(error instanceof Error ? error.message : String(error));
    return 2;
  }
  return await stop(screen, rootDir);
}

async function stop(screen: Screen, rootDir: string): Promise<number> {
  const running = await runningStack(rootDir);
  if (running !== undefined) await endStack(screen, running.pid);
  if (await runningStack(rootDir) !== undefined) {
    screen.error("Cannot stop the stack: its process does not end");
    return 1;
  }
  const left = await removeLeftovers(rootDir);
  const found = leftoverNames(left);
  if (found.length > 0) screen.print(`Ended what a killed stack had left: ${found.join(", ")}.`);
  else if (running === undefined) screen.print("No stack is running.");
  return 0;
}

async function endStack(screen: Screen, pid: number | undefined): Promise<void> {
  if (pid === undefined) return;
  await screen.step("Stopping the stack", async () => {
    killProcess(pid, "SIGTERM");
    if (await goneWithin(pid, STOP_DEADLINE_MS)) return;
    killProcess(pid, "SIGKILL");
    await goneWithin(pid, 5_000);
  });
}

function leftoverNames({ servers, processes, info }: Leftovers): string[] {
  return [
    ...servers.map((name) => `server ${name}`),
    ...(processes > 0 ? [`${processes} function processes`] : []),
    ...(info ? ["stack.json"] : []),
  ];
}

if (import.meta.main) Deno.exit(await main(Deno.args));
