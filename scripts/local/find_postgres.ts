/** Finds a Postgres server with pg_cron on this machine, or installs one where that is possible and allowed. */
import { installHint, installWithApt, OLDEST_MAJOR } from "./install_postgres.ts";
import { LocalPostgresError, runProgram } from "./run_program.ts";

/** An installed Postgres that has pg_cron. */
export interface Postgres {
  /** Folder of `postgres`, `initdb` and `pg_ctl`. */
  binDir: string;
  major: number;
  /** As `postgres --version` prints it. */
  version: string;
}

/** How {@link findPostgres} may act. */
export interface FindPostgresOptions {
  /** `allow`: as root on Debian or Ubuntu, install what is missing with apt. */
  install: "allow" | "never";
  /** Told, one line a call, what is being installed. */
  report: (line: string) => void;
  /** The one folder to look in. Default: the variable `PG_BIN`. */
  pgBin?: string | undefined;
}

/** What one bin folder holds. */
type Candidate =
  | { kind: "usable"; postgres: Postgres }
  | { kind: "old"; binDir: string; version: string }
  | { kind: "without_pg_cron"; binDir: string; major: number; version: string };

/**
 * Finds the newest usable Postgres: in `PG_BIN` alone where that is set, else wherever servers usually are.
 * @throws {LocalPostgresError} saying exactly what to install; a command line exits 2 on it.
 */
export async function findPostgres(options: FindPostgresOptions): Promise<Postgres> {
  const { pgBin = Deno.env.get("PG_BIN") } = options;
  if (pgBin !== undefined && pgBin !== "") return await usePgBin(pgBin);

  const found = await inspectAll(await usualBinDirs());
  const usable = newestUsable(found);
  if (usable !== undefined) return usable;

  const why = explain(found);
  if (options.install === "allow" && await installWithApt(why, options.report)) {
    const installed = newestUsable(await inspectAll(await usualBinDirs()));
    if (installed !== undefined) return installed;
    throw new LocalPostgresError("Cannot find Postgres with pg_cron although apt has just installed it");
  }
  throw new LocalPostgresError(`${why}\n${installHint()}`);
}

async function usePgBin(binDir: string): Promise<Postgres> {
  const candidate = await inspect(binDir);
  if (candidate === undefined) {
    throw new LocalPostgresError(`Cannot use PG_BIN "${binDir}": it has no postgres, initdb and pg_ctl`);
  }
  if (candidate.kind === "usable") return candidate.postgres;
  throw new LocalPostgresError(`Cannot use PG_BIN "${binDir}": ${explain([candidate])}\n${installHint()}`);
}

async function inspectAll(binDirs: string[]): Promise<Candidate[]> {
  const candidates = await Promise.all(binDirs.map(inspect));
  return candidates.filter((candidate) => candidate !== undefined);
}

function newestUsable(candidates: Candidate[]): Postgres | undefined {
  return candidates
    .flatMap((candidate) => candidate.kind === "usable" ? [candidate.postgres] : [])
    .sort((a, b) => b.major - a.major)[0];
}

function explain(candidates: Candidate[]): string {
  if (candidates.length === 0) return "Cannot find Postgres on this machine";
  const lines = candidates.map((candidate) => {
    switch (candidate.kind) {
      case "old":
        return `${candidate.version} in "${candidate.binDir}" is too old: ${OLDEST_MAJOR} or later is needed`;
      case "without_pg_cron":
        return `${candidate.version} in "${candidate.binDir}" has no pg_cron`;
      case "usable":
        return `${candidate.postgres.version} in "${candidate.postgres.binDir}" is usable`;
    }
  });
  return lines.join("\n");
}

/** Folders that may hold a server, each once, links resolved. */
async function usualBinDirs(): Promise<string[]> {
  const dirs = [
    ...await binDirsUnder("/usr/lib/postgresql", "bin"), // Debian, Ubuntu
    ...await binDirsUnder("/usr", "bin", /^pgsql-\d+$/), // PGDG on Fedora and its kin
    ...await binDirsUnder("/opt/homebrew/opt", "bin", /^postgresql(@\d+)?$/),
    ...await binDirsUnder("/usr/local/opt", "bin", /^postgresql(@\d+)?$/),
    ...await binDirsUnder("/Applications/Postgres.app/Contents/Versions", "bin"),
  ];
  const configured = await runProgram("pg_config", ["--bindir"]).catch(() => undefined);
  if (configured?.success) dirs.push(configured.stdout.trim());
  for (const dir of (Deno.env.get("PATH") ?? "").split(":").filter((dir) => dir !== "")) {
    const postgres = await Deno.realPath(`${dir}/postgres`).catch(() => undefined);
    if (postgres !== undefined) dirs.push(postgres.slice(0, postgres.lastIndexOf("/")));
  }
  const real = await Promise.all(dirs.map((dir) => Deno.realPath(dir).catch(() => undefined)));
  return [...new Set(real.filter((dir) => dir !== undefined))];
}

async function binDirsUnder(parent: string, child: string, name = /./): Promise<string[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(parent));
    return entries.filter((entry) => name.test(entry.name)).map((entry) =>
      `${parent}/${entry.name}/${child}`
    );
  } catch {
    return [];
  }
}

async function inspect(binDir: string): Promise<Candidate | undefined> {
  const programs = ["postgres", "initdb", "pg_ctl"].map((name) => exists(`${binDir}/${name}`));
  if ((await Promise.all(programs)).includes(false)) return undefined;
  const answer = await runProgram(`${binDir}/postgres`, ["--version"]).catch(() => undefined);
  const match = /\(PostgreSQL\) (\d+)\S*/.exec(answer?.stdout ?? "");
  if (!match) return undefined;
  const major = Number(match[1]);
  const version = `PostgreSQL ${match[0].slice("(PostgreSQL) ".length)}`;
  if (major < OLDEST_MAJOR) return { kind: "old", binDir, version };
  if (!await hasPgCron(binDir, major)) return { kind: "without_pg_cron", binDir, major, version };
  return { kind: "usable", postgres: { binDir, major, version } };
}

/** Both halves must be of this very installation: the control file and the library. */
async function hasPgCron(binDir: string, major: number): Promise<boolean> {
  for (const { share, lib } of await libraryDirs(binDir, major)) {
    const control = await exists(`${share}/extension/pg_cron.control`);
    const library = await exists(`${lib}/pg_cron.so`) || await exists(`${lib}/pg_cron.dylib`);
    if (control && library) return true;
  }
  return false;
}

/** Where the installation keeps extensions. Only development packages bring pg_config, so usual layouts are tried too. */
async function libraryDirs(binDir: string, major: number): Promise<{ share: string; lib: string }[]> {
  const asked = await runProgram(`${binDir}/pg_config`, ["--sharedir", "--pkglibdir"]).catch(() => undefined);
  const [share, lib] = asked?.success ? asked.stdout.trim().split("\n") : [];
  if (share !== undefined && lib !== undefined) return [{ share, lib }];
  const prefix = binDir.slice(0, binDir.lastIndexOf("/"));
  return [
    { share: `/usr/share/postgresql/${major}`, lib: `/usr/lib/postgresql/${major}/lib` },
    { share: `${prefix}/share/postgresql`, lib: `${prefix}/lib/postgresql` },
    { share: `${prefix}/share`, lib: `${prefix}/lib` },
  ].filter(({ lib }) => !lib.startsWith("/usr/lib/postgresql/") || prefix === lib.slice(0, -"/lib".length));
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
