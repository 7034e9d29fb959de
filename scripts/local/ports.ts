/** The stack's ports: which they are, whether they are free, and who has them if not. */
import { listProcesses } from "./processes.ts";
import { taskRunner } from "./task_runner.ts";

/** What listens where, all on 127.0.0.1. */
export const PORT_ROLES = ["gateway", "hub", "smoothed", "blingsting", "scraping", "sink"] as const;
export type PortRole = (typeof PORT_ROLES)[number];
export type StackPorts = Record<PortRole, number>;

/** Distance from the base port; with the default base they are the ports of Supabase's own local stack, and around. */
const OFFSETS: StackPorts = { gateway: 0, hub: 1, smoothed: 10, blingsting: 11, scraping: 12, sink: 19 };

/** Where the stack listens unless told otherwise. */
export const DEFAULT_PORT_BASE = 54321;

/** A port that somebody else has. */
export interface PortConflict {
  role: PortRole;
  port: number;
  /** The program that listens there, where the system tells. */
  holder: string | undefined;
  /** `forbidden`: it may be free, but not for this user. */
  reason: "taken" | "forbidden";
}

/** Ports were asked for that cannot be used; one sentence for each fault. */
export class PortsError extends Error {
  constructor(faults: readonly string[]) {
    super(faults.join("\n"));
    this.name = "PortsError";
  }
}

/** The variable that sets one port, such as `STACK_HUB_PORT`. */
export function portVariable(role: PortRole): string {
  return `STACK_${role.toUpperCase()}_PORT`;
}

/**
 * All ports from a base and single choices.
 *
 * @param base the gateway's port; the others follow it. Default {@link DEFAULT_PORT_BASE}.
 * @param chosen ports set one by one; they win.
 * @throws {PortsError} for what is no port, or used twice.
 */
export function choosePorts(
  base: string | undefined,
  chosen: Readonly<Partial<Record<PortRole, string | undefined>>>,
): StackPorts {
  const faults: string[] = [];
  const read = (name: string, text: string) => {
    const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
    if (!(port >= 1 && port <= 65_535)) faults.push(`Cannot use "${text}" as ${name}: a port is 1 to 65535`);
    return port;
  };
  const first = base === undefined ? DEFAULT_PORT_BASE : read("port base", base);
  const ports = { ...OFFSETS };
  for (const role of PORT_ROLES) {
    const text = chosen[role] ?? String(first + OFFSETS[role]);
    ports[role] = Number.isNaN(first) && chosen[role] === undefined ? NaN : read(`port of ${role}`, text);
  }
  for (const [index, role] of PORT_ROLES.entries()) {
    const other = PORT_ROLES.slice(0, index).find((earlier) => ports[earlier] === ports[role]);
    if (other !== undefined) faults.push(`Cannot use port ${ports[role]} for both ${other} and ${role}`);
  }
  if (faults.length > 0) throw new PortsError(faults);
  return ports;
}

/** Which of the ports somebody else has now. */
export async function findPortConflicts(ports: StackPorts): Promise<PortConflict[]> {
  const conflicts = PORT_ROLES.map((role) => ({ role, port: ports[role], reason: whyNot(ports[role]) }));
  const found = await Promise.all(conflicts.map(async ({ role, port, reason }) => {
    if (reason === undefined) return [];
    const holder = reason === "taken" ? await holderOf(port).catch(() => undefined) : undefined;
    return [{ role, port, reason, holder }];
  }));
  return found.flat();
}

/** One sentence for each conflict, and what to do. */
export function explainPortConflicts(conflicts: readonly PortConflict[]): string {
  const lines = conflicts.map(({ role, port, holder, reason }) =>
    `Cannot use port ${port} (${role}): ${
      reason === "forbidden"
        ? "this user may not listen there"
        : `${holder ?? "another program"} listens there`
    }`
  );
  const taken = conflicts.some(({ reason }) => reason === "taken");
  return [
    ...lines,
    `${taken ? "Stop what listens there, or move" : "Move"} the stack: ${taskRunner()} start --port-base ${
      otherBase(conflicts)
    }`,
    `(one port alone: ${portVariable(conflicts[0]?.role ?? "gateway")}=…)`,
  ].join("\n");
}

/** A base that was not just tried in vain. */
function otherBase(conflicts: readonly PortConflict[]): number {
  const base = DEFAULT_PORT_BASE + 1000;
  return conflicts.some(({ role, port }) => port - OFFSETS[role] === base) ? base + 1000 : base;
}

/** Why the port cannot be listened on, if so. */
function whyNot(port: number): PortConflict["reason"] | undefined {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return "taken";
    // Below 1024 only some users may.
    if (error instanceof Deno.errors.PermissionDenied) return "forbidden";
    throw error;
  }
}

async function holderOf(port: number): Promise<string | undefined> {
  const pid = Deno.build.os === "linux" ? await pidFromProc(port) : await pidFromLsof(port);
  if (pid === undefined) return undefined;
  const found = (await listProcesses()).find((entry) => entry.pid === pid);
  const program = found?.args.join(" ").slice(0, 80) ?? "a process";
  return `process ${pid} ("${program}")`;
}

async function pidFromProc(port: number): Promise<number | undefined> {
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => Deno.readTextFile(`/proc/net/${name}`).catch(() => "")),
  );
  const inode = tables.flatMap((table) => table.split("\n")).map((line) => line.trim().split(/\s+/))
    // Columns of proc_net_tcp: local address, state (0A: listening), inode.
    .find((columns) => columns[3] === "0A" && parseInt(columns[1]?.split(":").at(-1) ?? "", 16) === port)
    ?.[9];
  if (inode === undefined) return undefined;
  for (const { pid } of await listProcesses()) {
    if (await hasSocket(pid, inode)) return pid;
  }
  return undefined;
}

async function hasSocket(pid: number, inode: string): Promise<boolean> {
  try {
    for await (const { name } of Deno.readDir(`/proc/${pid}/fd`)) {
      const target = await Deno.readLink(`/proc/${pid}/fd/${name}`).catch(() => "");
      if (target === `socket:[${inode}]`) return true;
    }
  } catch {
    // Another user's process does not show its files.
  }
  return false;
}

async function pidFromLsof(port: number): Promise<number | undefined> {
  const args = ["-nP", "-t", `-iTCP:${port}`, "-sTCP:LISTEN"];
  const output = await new Deno.Command("lsof", { args, stdin: "null", stderr: "null" }).output();
  const pid = parseInt(new TextDecoder().decode(output.stdout), 10);
  return Number.isNaN(pid) ? undefined : pid;
}
