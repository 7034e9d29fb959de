import assert from "node:assert/strict";
import { join } from "node:path";
import { type LauncherCluster, launcherCluster } from "../support/postgres.ts";
import { waitFor } from "../support/wait_for.ts";
import { readCronFacts } from "../../supabase/functions/_shared/sources/cron_facts.ts";
import { openDatabase } from "../../supabase/functions/_shared/database.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";

/** Runs openssl in a folder; Debian's Postgres depends on it. */
async function openssl(cwd: string, args: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args: args.split(" "), cwd }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

/** Gives a running server a certificate for `localhost` from a CA of its own, and answers the CA's. */
async function enableTls(server: LauncherCluster): Promise<string> {
  const dir = await Deno.makeTempDir();
  await openssl(
    dir,
    "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=Test-CA",
  );
  await openssl(dir, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost");
  await Deno.writeTextFile(join(dir, "names"), "subjectAltName=DNS:localhost\n");
  await openssl(
    dir,
    "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile names",
  );
  const { uid, gid } = await Deno.stat(server.dataDir);
  for (const file of ["server.crt", "server.key"]) {
    const target = join(server.dataDir, file);
    await Deno.copyFile(join(dir, file), target);
    await Deno.chmod(target, 0o600);
    if (Deno.uid() === 0) await Deno.chown(target, uid, gid);
  }
  await server.admin.unsafe("alter system set ssl = on");
  await server.admin`select pg_reload_conf()`;
  const isOn = async () => (await server.admin`select current_setting('ssl') as ssl`)[0]?.ssl === "on";
  await waitFor(isOn, { what: "the server to reload", withinMs: 10_000 });
  const ca = await Deno.readTextFile(join(dir, "ca.crt"));
  await Deno.remove(dir, { recursive: true });
  return ca;
}

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
