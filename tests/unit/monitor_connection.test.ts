import assert from "node:assert/strict";
import { join } from "node:path";
import { findConnection, type FindOptions } from "../../scripts/monitor/connection.ts";
import { MonitorError } from "../../scripts/monitor/errors.ts";
import { type StackInfo, takeLock, writeStackInfo } from "../../scripts/local/state.ts";

const ENV = {
  SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.co/",
  MONITOR_SECRET_KEY: "sb_secret_abc",
  SUPABASE_DB_URL: "postgresql://postgres:geheim@db.example:5432/postgres",
};

const STACK: StackInfo = {
  gateway_url: "http://127.0.0.1:54321",
  functions_url: "http://127.0.0.1:54321/functions/v1",
  secret_key: "sb_secret_local",
  publishable_key: "sb_publishable_local",
  hub_db_url: "postgres://postgres:x@127.0.0.1:54322/postgres",
  projects: [],
  sink_url: "http://127.0.0.1:54340",
  pid: 1,
  started_at: "2026-11-21T12:00:00.000Z",
};

/** A folder in which a stack is up, or only its `stack.json` was left. */
async function withFolder(
  stack: "up" | "dead" | "starting" | "none",
  body: (find: (options: FindOptions) => ReturnType<typeof findConnection>, folder: string) => Promise<void>,
): Promise<void> {
  const rootDir = await Deno.makeTempDir();
  const lock = stack === "up" || stack === "starting" ? await takeLock(rootDir) : undefined;
  if (stack === "up" || stack === "dead") await writeStackInfo(rootDir, STACK);
  try {
    await body(
      (options) => findConnection({ rootDir, envFile: join(rootDir, ".env"), env: {}, ...options }),
      rootDir,
    );
  } finally {
    if (lock !== undefined && "release" in lock) await lock.release();
    await Deno.remove(rootDir, { recursive: true });
  }
}

async function refusal(find: Promise<unknown>): Promise<MonitorError> {
  const error = await find.then(() => null, (thrown) => thrown);
  assert.ok(error instanceof MonitorError);
  assert.equal(error.code, "not_configured");
  assert.doesNotMatch(`${error.message} ${error.hints.join(" ")}`, /geheim|sb_secret_\w/);
  return error;
}

Deno.test("the local stack is chosen while it is up, also where the environment names another hub", async () => {
  await withFolder("up", async (find) => {
    const { url, secretKey, hubDatabaseUrl, origin } = await find({ env: ENV });
    assert.deepEqual([url, secretKey, hubDatabaseUrl], [
      STACK.gateway_url,
      STACK.secret_key,
      STACK.hub_db_url,
    ]);
    assert.match(origin.text, /^the local stack \(.*stack\.json\)$/);
  });
});

Deno.test("a stack that was killed is not chosen, nor one that is passed over", async () => {
  await withFolder("dead", async (find) => {
    assert.equal((await find({ env: ENV })).origin.kind, "environment");
  });
  await withFolder("up", async (find) => {
    const { url, origin } = await find({ env: ENV, prefer: "environment" });
    assert.equal(url, "https://abcdefghijklmnopqrst.supabase.co");
    assert.equal(origin.text, "SUPABASE_URL, MONITOR_SECRET_KEY, SUPABASE_DB_URL from the environment");
  });
});

Deno.test("a stack that is only starting is waited for by the person, not by the command", async () => {
  await withFolder("starting", async (find) => {
    assert.match((await refusal(find({ env: ENV }))).message, /is not up yet/);
  });
});

Deno.test("the environment wins over .env, and the origin tells both apart", async () => {
  await withFolder("none", async (find, folder) => {
    const lines = Object.entries({ ...ENV, MONITOR_SECRET_KEY: "sb_secret_file" }).map(([name, value]) =>
      `${name}=${value}`
    );
    await Deno.writeTextFile(join(folder, ".env"), lines.join("\n"));
    const { secretKey, origin } = await find({
      env: { MONITOR_SECRET_KEY: "sb_secret_env", SUPABASE_URL: "" },
    });
    assert.equal(secretKey, "sb_secret_env");
    assert.match(origin.text, /SUPABASE_URL, SUPABASE_DB_URL from .*\.env/);
    assert.match(origin.text, /MONITOR_SECRET_KEY from the environment/);
  });
});

Deno.test("nowhere to go names everything that is missing, and both ways on", async () => {
  await withFolder("none", async (find) => {
    const { message, hints } = await refusal(find({ env: { SUPABASE_URL: ENV.SUPABASE_URL } }));
    assert.match(message, /^No local stack is up .* has MONITOR_SECRET_KEY, SUPABASE_DB_URL$/);
    assert.match(hints[0] ?? "", /task start$/);
  });
});

Deno.test("wrong values are named all at once, with where they stand, and never shown", async () => {
  await withFolder("none", async (find) => {
    const env = {
      SUPABASE_URL: "geheim",
      MONITOR_SECRET_KEY: "sb_publishable_geheim",
      SUPABASE_DB_URL: "geheim",
    };
    const { message } = await refusal(find({ env }));
    for (const name of Object.keys(env)) {
      assert.match(message, new RegExp(`${name} \\(from the environment\\) must be`));
    }
  });
});
