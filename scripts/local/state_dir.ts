/** Where the local stack keeps data, and the account that its servers run under. */
import { createHash, randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import { type Account, LocalPostgresError, runProgram } from "./run_program.ts";

/** A folder for clusters and templates. */
export interface StateDir {
  dir: string;
  /** The unprivileged account that servers run under where we are root; `undefined`: our own. */
  account: Account | undefined;
}

/** Passwords of the roles that may log in over TCP, random for each state folder. */
export interface Passwords {
  postgres: string;
  supabase_admin: string;
  authenticator: string;
}

/** Where root's state folders are. */
const ROOT_STATE_DIR = "/var/lib/supabase-job-monitor";
/** In a state folder: the `rootDir` that it belongs to. */
const OWNER_FILE = "root_dir";

/**
 * The state folder of `rootDir`, made where it is missing. Root's servers run under another account, which may not
 * be allowed into the checkout: then the folder lies in `/var/lib`, named after `rootDir`.
 * @throws {LocalPostgresError} where there is no account to run servers under.
 */
export async function stateDir(rootDir: string): Promise<StateDir> {
  const root = resolve(rootDir);
  await Deno.mkdir(root, { recursive: true });
  const state: StateDir = Deno.uid() === 0
    ? { dir: `${ROOT_STATE_DIR}/${digest(root, 8)}`, account: await unprivilegedAccount() }
    : { dir: `${root}/postgres`, account: undefined };
  for (const dir of ["", "/clusters", "/templates"]) {
    await Deno.mkdir(`${state.dir}${dir}`, { recursive: true, mode: 0o755 });
  }
  await writeOwner(`${state.dir}/${OWNER_FILE}`, root);
  return state;
}

/** Whole or not at all: another start may be reading it to learn whether this folder is abandoned. */
async function writeOwner(path: string, root: string): Promise<void> {
  if (await Deno.readTextFile(path).catch(() => undefined) === root) return;
  const written = `${path}.${Deno.pid}-${randomBytes(4).toString("hex")}`;
  await Deno.writeTextFile(written, root);
  await Deno.rename(written, path);
}

/** Removes root's state folders whose checkout or `.local` a person has deleted, unless `inUse` says otherwise. */
export async function removeAbandonedStateDirs(inUse: (dir: string) => Promise<boolean>): Promise<void> {
  if (Deno.uid() !== 0) return;
  for await (const { name } of Deno.readDir(ROOT_STATE_DIR)) {
    const dir = `${ROOT_STATE_DIR}/${name}`;
    const owner = await Deno.readTextFile(`${dir}/${OWNER_FILE}`).catch(() => undefined);
    // an empty one tells nothing
    if (!owner || await Deno.stat(owner).then(() => true, () => false)) continue;
    if (!await inUse(dir)) await rm(dir, { recursive: true, force: true });
  }
}

/** Removes a state folder; its servers must be stopped. */
export async function removeStateDir(rootDir: string): Promise<void> {
  const { dir } = await stateDir(rootDir);
  await Deno.remove(dir, { recursive: true });
}

/** Makes a folder that only the servers' account may enter. */
export async function makePrivateDir(state: StateDir, dir: string): Promise<void> {
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  if (state.account) await Deno.chown(dir, state.account.uid, state.account.gid);
}

/** Writes a file that only the servers' account may read. */
export async function writePrivateFile(state: StateDir, path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text, { mode: 0o600 });
  if (state.account) await Deno.chown(path, state.account.uid, state.account.gid);
}

/** Holds the state folder's lock while `work` runs: `shared` beside other readers, `exclusive` alone. */
export async function withLock<T>(
  state: StateDir,
  kind: "shared" | "exclusive",
  work: () => Promise<T>,
): Promise<T> {
  using file = await Deno.open(`${state.dir}/lock`, { create: true, write: true, read: true });
  await file.lock(kind === "exclusive");
  return await work();
}

/** The passwords of a state folder, made at first use. Call it under the exclusive lock. */
export async function passwordsOf(state: StateDir): Promise<Passwords> {
  const path = `${state.dir}/passwords.json`;
  try {
    return JSON.parse(await Deno.readTextFile(path)) as Passwords;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const random = () => randomBytes(16).toString("hex");
  const passwords = { postgres: random(), supabase_admin: random(), authenticator: random() };
  // whole or not at all: half a file would lock everybody out
  await Deno.writeTextFile(`${path}.new`, JSON.stringify(passwords), { mode: 0o600 });
  await Deno.rename(`${path}.new`, path);
  return passwords;
}

/** The first `length` hexadecimal digits of a text's SHA-256. */
export function digest(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}

async function unprivilegedAccount(): Promise<Account> {
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = await Promise.all(["-u", "-g"].map((flag) => runProgram("id", [flag, name])));
    if (uid?.success && gid?.success) return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new LocalPostgresError(
    'Cannot run Postgres as root: this machine has no user "postgres" or "nobody"',
  );
}
