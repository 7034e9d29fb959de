/** Which processes are up, and which belong to a stack: read from `/proc` where there is one, else from `ps`. */

/** A process of this machine. */
export interface ProcessEntry {
  pid: number;
  /** Its arguments, the program first; joined by spaces where only `ps` could tell. */
  args: readonly string[];
}

/** Whether a process runs; one that ended and was not yet collected by its parent does not. */
export async function isProcessUp(pid: number): Promise<boolean> {
  if (Deno.build.os === "linux") {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => undefined);
    // The state follows the program's name, which stands in parentheses and may hold anything.
    return stat !== undefined && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  }
  const { stdout } = await run("ps", ["-o", "stat=", "-p", String(pid)]);
  return stdout.trim() !== "" && !stdout.trim().startsWith("Z");
}

/** Every process of this machine that this user may see. */
export async function listProcesses(): Promise<ProcessEntry[]> {
  if (Deno.build.os === "linux") return await listFromProc();
  const { stdout } = await run("ps", ["-axo", "pid=,command="]);
  return stdout.split("\n").flatMap((line) => {
    const match = /^\s*(\d+)\s+(.*)$/.exec(line);
    return match === null ? [] : [{ pid: Number(match[1]), args: (match[2] ?? "").split(" ") }];
  });
}

async function listFromProc(): Promise<ProcessEntry[]> {
  const entries: ProcessEntry[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const text = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (text !== "") {
      entries.push({
        pid: Number(name),
        args: text.split("\0").filter((part) => part !== ""),
      });
    }
  }
  return entries;
}

/** The parent of a process; `undefined` where there is none, or it is no longer there. */
export async function parentOf(pid: number): Promise<number | undefined> {
  const text = Deno.build.os === "linux"
    ? (await Deno.readTextFile(`/proc/${pid}/status`).catch(() => "")).match(/^PPid:\s*(\d+)/m)?.[1]
    : (await run("ps", ["-o", "ppid=", "-p", String(pid)])).stdout.trim();
  const parent = parseInt(text ?? "", 10);
  return parent > 1 ? parent : undefined;
}

/** Sends a signal; answers whether there was such a process. */
export function killProcess(pid: number, signal: Deno.Signal): boolean {
  try {
    Deno.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function run(program: string, args: string[]): Promise<{ stdout: string }> {
  try {
    const output = await new Deno.Command(program, { args, stdin: "null", stderr: "null" }).output();
    return { stdout: new TextDecoder().decode(output.stdout) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { stdout: "" };
    throw error;
  }
}
