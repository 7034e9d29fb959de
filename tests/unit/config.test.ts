import assert from "node:assert/strict";
import { readConfig } from "../../supabase/functions/_shared/config.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";

const HUB = "postgresql://postgres:hub-secret@db.abcdefghijklmnopqrst.supabase.co:5432/postgres";

Deno.test("every secret <PROJECT>_SUPABASE_POSTGRES_URL is a watched project", () => {
  const config = readConfig({
    SUPABASE_DB_URL: HUB,
    SMOOTHED_SUPABASE_POSTGRES_URL:
      "postgresql://postgres.bcdefghijklmnopqrstu:x@aws-0.pooler.supabase.com:5432/postgres",
    LEAD_GEN_SUPABASE_POSTGRES_URL: "postgres://postgres@127.0.0.1/postgres",
  });
  assert.deepEqual(config.projects.map(({ name, ref }) => [name, ref]), [
    ["lead_gen", null],
    ["smoothed", "bcdefghijklmnopqrstu"],
    ["thordata", "abcdefghijklmnopqrst"],
  ]);
});

Deno.test("the hub is watched once, by its own connection, also where a secret names it", () => {
  const config = readConfig({
    SUPABASE_DB_URL: HUB,
    THORDATA_SUPABASE_POSTGRES_URL: "postgresql://other/postgres",
  });
  assert.deepEqual(config.projects.map(({ name, databaseUrl }) => [name, databaseUrl]), [["thordata", HUB]]);
});

Deno.test("the hub's project may have another name", () => {
  const config = readConfig({ SUPABASE_DB_URL: HUB, HUB_PROJECT_NAME: "control" });
  assert.deepEqual([config.hubProjectName, config.projects[0]?.name], ["control", "control"]);
});

Deno.test("all faults are named at once and no value is shown", () => {
  const env = {
    SUPABASE_DB_URL: "hub-secret",
    SMOOTHED_SUPABASE_POSTGRES_URL: "my-password",
    MANAGEMENT_API_URL: "ftp://x",
  };
  assert.throws(() => readConfig(env), (error) => {
    assert.ok(error instanceof AppError);
    assert.equal(error.faults.length, 3);
    assert.match(error.message, /SUPABASE_DB_URL.*MANAGEMENT_API_URL.*SMOOTHED_SUPABASE_POSTGRES_URL/);
    assert.doesNotMatch(error.message, /hub-secret|my-password/);
    return true;
  });
});

Deno.test("a missing hub URL is a fault, and an empty one is a missing one", () => {
  assert.throws(() => readConfig({}), /SUPABASE_DB_URL/);
  assert.throws(() => readConfig({ SUPABASE_DB_URL: "" }), /SUPABASE_DB_URL/);
});

Deno.test("the platform's own variables cannot be named as secrets", () => {
  const config = readConfig({ SUPABASE_DB_URL: HUB, DISCORD_WEBHOOK_URL: "https://x.test" });
  assert.equal(config.secret("DISCORD_WEBHOOK_URL"), "https://x.test");
  assert.equal(config.secret("SUPABASE_DB_URL"), undefined);
});
