/** What is said of a Postgres that cannot be used. */
import assert from "node:assert/strict";
import { findPostgres, LocalPostgresError } from "../../../scripts/local/postgres.ts";

const nothingInstalled = () => assert.fail("Nothing may be installed");

/** Looks in a folder whose `postgres` names this version; without one, in an empty folder. */
async function findVersion(version?: string): Promise<unknown> {
  const dir = await Deno.makeTempDir();
  try {
    for (const program of version === undefined ? [] : ["postgres", "initdb", "pg_ctl"]) {
      const script = `#!/bin/sh\necho "postgres (PostgreSQL) ${version}"\n`;
      await Deno.writeTextFile(`${dir}/${program}`, script, { mode: 0o755 });
    }
    return await findPostgres({ install: "allow", report: nothingInstalled, pgBin: dir });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("findPostgres() says that a Postgres is too old, and what to install", async () => {
  await assert.rejects(findVersion("14.9 (Debian 14.9-1)"), (error: Error) => {
    assert(error instanceof LocalPostgresError);
    assert.match(error.message, /PostgreSQL 14\.9 in ".+" is too old: 15 or later is needed/);
    assert.match(error.message, /apt-get install postgresql-15 postgresql-15-cron/);
    assert.match(error.message, /brew install/);
    return true;
  });
});

Deno.test("findPostgres() says that a Postgres has no pg_cron", async () => {
  await assert.rejects(findVersion("17.2"), /PostgreSQL 17\.2 in ".+" has no pg_cron/);
});

Deno.test("findPostgres() says that PG_BIN holds no server, and looks nowhere else", async () => {
  await assert.rejects(findVersion(), /Cannot use PG_BIN ".+": it has no postgres, initdb and pg_ctl/);
});
