/** TLS on a server of a test's own, with a certificate authority made for it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { LauncherCluster } from "./postgres.ts";
import { waitFor } from "./wait_for.ts";

/** Runs openssl in a folder; Debian's Postgres depends on it. */
async function openssl(cwd: string, args: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args: args.split(" "), cwd }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

/** Gives a running server a certificate for `localhost` from a CA of its own, and answers the CA's. */
export async function enableTls(server: LauncherCluster): Promise<string> {
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
  await waitFor(isOn, { what: "the server to reload", withinMs: 60_000 });
  const ca = await Deno.readTextFile(join(dir, "ca.crt"));
  await Deno.remove(dir, { recursive: true });
  return ca;
}
