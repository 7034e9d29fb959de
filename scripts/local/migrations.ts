/** Applies `supabase/migrations`, recorded as the Supabase CLI (v3) records them, so that both agree on what is applied. */
import postgres from "postgres";
import { LocalPostgresError } from "./run_program.ts";
import { splitSql, type Statement } from "./split_sql.ts";

/** What {@link applyMigrations} did, as versions in order. */
export interface MigrationsResult {
  applied: string[];
  already: string[];
}

/** One file `<14 digits>_<name>.sql`. */
interface Migration {
  file: string;
  version: string;
  name: string;
  statements: Statement[];
}

interface RecordedMigration {
  version: string;
  statements: string[] | null;
}

/**
 * Applies what is not yet recorded, in order, each file in a transaction of its own with its record.
 * @throws {LocalPostgresError} naming file, line, statement and what Postgres says; or when a recorded migration has
 * since been changed or removed.
 */
export async function applyMigrations(
  options: { dbUrl: string; dir: string; report: (line: string) => void },
): Promise<MigrationsResult> {
  const sql = postgres(options.dbUrl, { max: 1, onnotice: () => {} });
  try {
    return await applyMigrationsWith(sql, options);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** {@link applyMigrations} with a client of one's own, as role `postgres`. */
export async function applyMigrationsWith(
  sql: postgres.Sql,
  options: { dir: string; report: (line: string) => void },
): Promise<MigrationsResult> {
  const migrations = await readMigrations(options.dir);
  await createHistory(sql);
  const recorded = await sql<RecordedMigration[]>`
    select version, statements from supabase_migrations.schema_migrations order by version`;
  refuseChanged(migrations, recorded);
  const done = new Set(recorded.map((migration) => migration.version));
  const due = migrations.filter((migration) => !done.has(migration.version));
  for (const migration of due) {
    options.report(`Applying migration ${migration.file}`);
    await apply(sql, migration);
  }
  return { applied: due.map((migration) => migration.version), already: [...done].sort() };
}

/** Every migration of a folder, in order. */
async function readMigrations(dir: string): Promise<Migration[]> {
  const files = (await Array.fromAsync(Deno.readDir(dir))).map((entry) => entry.name).sort();
  const migrations: Migration[] = [];
  for (const file of files) {
    const match = /^(\d{14})_(\w+)\.sql$/.exec(file);
    if (!match) {
      throw new LocalPostgresError(`Cannot apply migration "${file}": name it <14 digits>_<name>.sql`);
    }
    const [, version, name] = match as unknown as [string, string, string];
    if (migrations.at(-1)?.version === version) {
      throw new LocalPostgresError(`Cannot apply migration "${file}": its version is another file's too`);
    }
    migrations.push({ file, version, name, statements: splitSql(await Deno.readTextFile(`${dir}/${file}`)) });
  }
  return migrations;
}

/** As the CLI creates it. */
async function createHistory(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
    alter table supabase_migrations.schema_migrations add column if not exists statements text[];
    alter table supabase_migrations.schema_migrations add column if not exists name text;
  `);
}

/** A changed migration is never applied again, so its database would silently differ from a new one. */
function refuseChanged(migrations: Migration[], recorded: readonly RecordedMigration[]): void {
  const bare = (statements: string[]) => statements.join("").replaceAll(/[\s;]/g, "");
  const faults = recorded.flatMap(({ version, statements }) => {
    const migration = migrations.find((candidate) => candidate.version === version);
    if (!migration) return [`${version} is recorded but there is no such file`];
    const now = bare(migration.statements.map((statement) => statement.text));
    return statements === null || bare(statements) === now
      ? []
      : [`${migration.file} was changed after it was applied`];
  });
  if (faults.length === 0) return;
  throw new LocalPostgresError(
    `Cannot apply migrations; begin with a new database:\n  ${faults.join("\n  ")}`,
  );
}

async function apply(sql: postgres.Sql, migration: Migration): Promise<void> {
  const { version, name, statements } = migration;
  await sql.begin(async (transaction) => {
    for (const statement of statements) {
      await transaction.unsafe(statement.text).catch((error) => {
        throw explain(migration, statement, error);
      });
    }
    // a migration may have changed the session's settings
    await transaction.unsafe("reset all");
    const texts = statements.map((statement) => statement.text);
    await transaction`
      insert into supabase_migrations.schema_migrations (version, name, statements)
      values (${version}, ${name}, ${transaction.array(texts)}::text[])`;
  });
}

function explain(migration: Migration, statement: Statement, error: unknown): Error {
  if (!(error instanceof postgres.PostgresError)) return error as Error;
  const before = error.position
    ? [...statement.text].slice(0, Number(error.position) - 1).join("")
    : leadingComments(statement.text);
  const line = statement.line + before.split("\n").length - 1;
  const first = statement.text.slice(leadingComments(statement.text).length).split("\n")[0];
  const more = [error.detail, error.hint, error.where].filter((text) => text !== undefined);
  return new LocalPostgresError(
    [`Cannot apply migration "${migration.file}", line ${line}: ${error.message}`, `  in: ${first}`]
      .concat(more.map((text) => `  ${text}`)).join("\n"),
  );
}

/** Comments that the splitter left before a statement. */
function leadingComments(text: string): string {
  return /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)*/.exec(text)?.[0] ?? "";
}
