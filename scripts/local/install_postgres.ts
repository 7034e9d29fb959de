/** Installs Postgres with pg_cron where we may (root, apt), and says what a person must install where we may not. */
import { mustRun, runProgram } from "./run_program.ts";

/** The oldest major version that the stack runs on, which is what hosted Supabase's oldest projects have. */
export const OLDEST_MAJOR = 15;

const APT_ENV = { DEBIAN_FRONTEND: "noninteractive" };

/**
 * Installs the newest Postgres that apt has together with pg_cron.
 * @param why what is missing, told before anything is done.
 * @returns whether it could be tried: root, and apt knows the packages.
 * @throws {LocalPostgresError} when apt fails.
 */
export async function installWithApt(why: string, report: (line: string) => void): Promise<boolean> {
  if (Deno.uid() !== 0 || !(await hasApt())) return false;
  report(why);
  let major = await newestInApt();
  if (major === undefined) {
    report("Updating apt's package lists: apt-get update");
    await mustRun("update apt's package lists", "apt-get", ["update", "-q"], { env: APT_ENV });
    major = await newestInApt();
  }
  if (major === undefined) return false;

  const packages = [`postgresql-${major}`, `postgresql-${major}-cron`];
  const args = ["install", "-y", "-q", "--no-install-recommends", ...packages];
  report(`Installing ${packages.join(" and ")}: apt-get ${args.join(" ")}`);
  const before = await debianClusterExists(major);
  const first = await runProgram("apt-get", args, { env: APT_ENV });
  if (!first.success) {
    // lists older than the mirror name files that are gone
    report("Updating apt's package lists and trying again");
    await mustRun("update apt's package lists", "apt-get", ["update", "-q"], { env: APT_ENV });
    await mustRun(`install ${packages.join(" and ")}`, "apt-get", args, { env: APT_ENV });
  }
  if (!before && await debianClusterExists(major)) await dropDebianCluster(major, report);
  return true;
}

/** What to install by hand, for every system we know. */
export function installHint(): string {
  const apt = "postgresql-NN and postgresql-NN-cron";
  return [
    `Install Postgres ${OLDEST_MAJOR} or later with pg_cron, then run this again:`,
    `  Debian, Ubuntu: sudo apt-get install postgresql-15 postgresql-15-cron`,
    `                  (or ${apt} for a newer NN; as root this is done for you)`,
    `  macOS:          brew install postgresql@17, then build pg_cron for it:`,
    `                  git clone https://github.com/citusdata/pg_cron && cd pg_cron &&`,
    `                  make install PG_CONFIG="$(brew --prefix postgresql@17)/bin/pg_config"`,
    `  Fedora, RHEL:   sudo dnf install postgresql17-server pg_cron_17 (from https://yum.postgresql.org)`,
    `  other:          https://github.com/citusdata/pg_cron#installing-pg_cron`,
    `Set PG_BIN to the folder of "postgres" where it is not found by itself`,
  ].join("\n");
}

async function hasApt(): Promise<boolean> {
  return (await runProgram("apt-get", ["--version"]).catch(() => undefined))?.success ?? false;
}

/** The newest major version for which both packages can be installed. */
async function newestInApt(): Promise<number | undefined> {
  const names = await runProgram("apt-cache", ["--names-only", "search", "^postgresql-[0-9]+-cron$"]);
  const majors = [...names.stdout.matchAll(/^postgresql-(\d+)-cron\b/gm)]
    .map((match) => Number(match[1]))
    .filter((major) => major >= OLDEST_MAJOR)
    .sort((a, b) => b - a);
  for (const major of majors) {
    const policy = await runProgram("apt-cache", [
      "policy",
      `postgresql-${major}`,
      `postgresql-${major}-cron`,
    ]);
    const candidates = [...policy.stdout.matchAll(/^ {2}Candidate: (.+)$/gm)].map((match) => match[1]);
    if (candidates.length === 2 && !candidates.includes("(none)")) return major;
  }
  return undefined;
}

/** Whether Debian's own cluster of that version is there, be it only its files. */
async function debianClusterExists(major: number): Promise<boolean> {
  const places = [`/etc/postgresql/${major}/main`, `/var/lib/postgresql/${major}/main`];
  const found = await Promise.all(places.map((place) => Deno.stat(place).then(() => true, () => false)));
  return found.includes(true);
}

/** Debian's package makes and starts a server of its own on port 5432; nobody asked for it, and it is empty. */
async function dropDebianCluster(major: number, report: (line: string) => void): Promise<void> {
  report(`Removing the empty server that the package made on its own: pg_dropcluster --stop ${major} main`);
  await mustRun("remove Debian's empty server", "pg_dropcluster", ["--stop", String(major), "main"]);
}
