import assert from "node:assert/strict";
import { type LauncherCluster, launcherCluster } from "../support/postgres.ts";
import { enableTls } from "../support/tls.ts";
import { readCronFacts } from "../../supabase/functions/_shared/sources/cron_facts.ts";
import { openDatabase } from "../../supabase/functions/_shared/database.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";

function at(server: LauncherCluster, host: string, query = ""): string {
  const url = new URL(server.dbUrl);
  url.hostname = host;
  return url.href + query;
}

async function read(databaseUrl: string, caCert: string | null) {
  const connect = { caCert, connectTimeoutSeconds: 5 };
  return await readCronFacts(
    { name: "smoothed", databaseUrl, ref: null },
    { cursor: null, openRunIds: [] },
    connect,
  )
    .then(() => "it was read", (error) => error instanceof AppError ? error.message : String(error));
}

Deno.test("TLS to a project is verified against the given CA, and nothing less is taken", async () => {
  await using server = await launcherCluster();
  const required = "?sslmode=require";
  assert.match(await read(at(server, "localhost", required), null), /does not offer TLS/);
  const ca = await enableTls(server);
  assert.equal(await read(at(server, "localhost", required), ca), "it was read");
  assert.match(await read(at(server, "localhost", required), null), /certificate is not trusted/);
  assert.match(await read(at(server, "127.0.0.1", required), ca), /certificate is not trusted/);

  const options = {
    applicationName: "tls test",
    connectTimeoutSeconds: 5,
    caCert: ca,
    tls: "always",
  } as const;
  const sql = openDatabase(at(server, "localhost", required), options);
  const [own] = await sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`;
  assert.equal(own?.ssl, true);
  const [long] = await sql<{ text: string }[]>`select repeat('x', 3000000) as text`;
  assert.equal(long?.text.length, 3_000_000);
  await sql.end();
});
