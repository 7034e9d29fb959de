/** Migrations as applied locally: recorded as the Supabase CLI records them. */
import assert from "node:assert/strict";
import { applyMigrations } from "../../scripts/local/migrations.ts";
import { testDatabase } from "../support/postgres.ts";

const report = () => {};

/** A folder of migrations that is gone afterwards. */
async function migrationsDir(files: Record<string, string>): Promise<{ dir: string } & AsyncDisposable> {
  const dir = await Deno.makeTempDir();
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${dir}/${name}`, text);
  return { dir, [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }) };
}

Deno.test("applyMigrations() records version, name and statements, in the table that the Supabase CLI makes", async () => {
  await using db = await testDatabase("project");
  await using files = await migrationsDir({
    "20260101000200_fill_thing.sql": "insert into thing values (1);",
    "20260101000100_create_thing.sql":
      "-- why\ncreate table thing (id int); -- trailing\ncomment on table thing is 'a;b';\n",
  });
  const result = await applyMigrations({ dbUrl: db.url, dir: files.dir, report });
  assert.deepEqual(result, { applied: ["20260101000100", "20260101000200"], already: [] });

  const recorded = await db.sql`select * from supabase_migrations.schema_migrations order by version`;
  assert.deepEqual(recorded.map((row) => ({ ...row })), [
    {
      version: "20260101000100",
      statements: ["-- why\ncreate table thing (id int)", "-- trailing\ncomment on table thing is 'a;b'"],
      name: "create_thing",
    },
    { version: "20260101000200", statements: ["insert into thing values (1)"], name: "fill_thing" },
  ]);
  const columns = await db.sql`
    select attname, format_type(atttypid, atttypmod) as type, attnotnull as required
    from pg_attribute
    where attrelid = 'supabase_migrations.schema_migrations'::regclass and attnum > 0
    order by attnum`;
  assert.deepEqual(columns.map((column) => ({ ...column })), [
    { attname: "version", type: "text", required: true },
    { attname: "statements", type: "text[]", required: false },
    { attname: "name", type: "text", required: false },
  ]);
});

Deno.test("applyMigrations() applies once what is recorded", async () => {
  await using db = await testDatabase("hub");
  const dir = new URL("../../supabase/migrations", import.meta.url).pathname;
  const { applied, already } = await applyMigrations({ dbUrl: db.url, dir, report });
  assert.deepEqual(applied, []);
  assert(already.length > 0);
});

Deno.test("applyMigrations() names file, line and statement of a failure, and undoes the file", async () => {
  await using db = await testDatabase("project");
  await using files = await migrationsDir({
    "20260101000100_create_thing.sql": "create table thing (id int);",
    "20260101000200_break_thing.sql":
      "create table other (id int);\n\n-- why\nselect 1,\n  missing\nfrom thing;\n",
  });
  await assert.rejects(applyMigrations({ dbUrl: db.url, dir: files.dir, report }), (error: Error) => {
    assert.equal(
      error.message.split("\n").slice(0, 2).join("\n"),
      'Cannot apply migration "20260101000200_break_thing.sql", line 5: column "missing" does not exist\n  in: select 1,',
    );
    return true;
  });
  const versions = await db.sql`select version from supabase_migrations.schema_migrations`;
  assert.deepEqual(versions.map((row) => row["version"]), ["20260101000100"]);
  const [other] = await db.sql`select to_regclass('other') as oid`;
  assert.equal(other?.["oid"], null);
});

Deno.test("applyMigrations() refuses a file that was changed or removed after it was applied", async () => {
  await using db = await testDatabase("project");
  await using files = await migrationsDir({
    "20260101000100_create_thing.sql": "create table thing (id int);",
    "20260101000200_create_other.sql": "create table other (id int);",
  });
  await applyMigrations({ dbUrl: db.url, dir: files.dir, report });
  await Deno.writeTextFile(`${files.dir}/20260101000100_create_thing.sql`, "create table thing (id bigint);");
  await Deno.remove(`${files.dir}/20260101000200_create_other.sql`);
  await assert.rejects(applyMigrations({ dbUrl: db.url, dir: files.dir, report }), (error: Error) => {
    assert.match(error.message, /20260101000100_create_thing\.sql was changed after it was applied/);
    assert.match(error.message, /20260101000200 is recorded but there is no such file/);
    return true;
  });
});

Deno.test("applyMigrations() takes white space for no change", async () => {
  await using db = await testDatabase("project");
  await using files = await migrationsDir({
    "20260101000100_create_thing.sql": "create table thing (id int);",
  });
  await applyMigrations({ dbUrl: db.url, dir: files.dir, report });
  await Deno.writeTextFile(
    `${files.dir}/20260101000100_create_thing.sql`,
    "\ncreate table thing\n  (id int);\n",
  );
  const { applied } = await applyMigrations({ dbUrl: db.url, dir: files.dir, report });
  assert.deepEqual(applied, []);
});

Deno.test("applyMigrations() refuses a file whose name is no migration's", async () => {
  await using db = await testDatabase("project");
  await using files = await migrationsDir({ "1_create_thing.sql": "create table thing (id int);" });
  await assert.rejects(
    applyMigrations({ dbUrl: db.url, dir: files.dir, report }),
    /name it <14 digits>_<name>\.sql/,
  );
});
