/**
 * Annotating in the Supabase table editor: the SQL that it sends, as role `postgres`, and what a person reads when it is
 * refused. Shapes of the statements: supabase/supabase, `packages/pg-meta/src/query/Query.utils.ts`; which values go into
 * them: `apps/studio/components/interfaces/TableGridEditor/SidePanelEditor/RowEditor/RowEditor.utils.ts`. Text columns
 * keep the difference between NULL and empty, numbers come as text, and what nobody touched is left out.
 */
import assert from "node:assert/strict";
import type postgres from "postgres";
import { systemClock } from "../../supabase/functions/_shared/clock.ts";
import { triggerInput } from "../../supabase/functions/_shared/http/trigger.ts";
import { runCheck } from "../../supabase/functions/check-job-health/run.ts";
import { runDiscovery } from "../../supabase/functions/discover-jobs/run.ts";
import { addJob, addRun, secondsIntoHour } from "../support/cron_rows.ts";
import { configFor, recordingLog, watchOnlyOthers } from "../support/functions.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

/** A row as the editor sends it. */
type Cells = Readonly<Record<string, string | boolean | null>>;
type Row = Record<string, unknown>;

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function updateSql(table: string, key: Cells, cells: Cells): string {
  const columns = Object.keys(cells).join(",");
  const match = Object.entries(key).map(([column, value]) => `${column} = ${literal(String(value))}`);
  return `update public.${table} set (${columns}) = (select ${columns} from json_populate_record(` +
    `null::public.${table}, ${literal(JSON.stringify(cells))})) where ${match.join(" and ")} returning *;`;
}

function insertSql(table: string, rows: readonly Cells[]): string {
  const columns = Object.keys(rows[0] ?? {}).join(",");
  return `insert into public.${table} (${columns}) select ${columns} from jsonb_populate_recordset(` +
    `null::public.${table}, ${literal(JSON.stringify(rows))}) returning *;`;
}

/** Sends SQL as the editor does: as one text, not prepared. */
async function send(hub: TestDatabase, sql: string): Promise<Row[]> {
  return (await hub.sql.unsafe(sql).simple()).map((row: postgres.Row) => ({ ...row }));
}

async function insert(hub: TestDatabase, table: string, cells: Cells): Promise<Row> {
  return (await send(hub, insertSql(table, [cells])))[0] ?? {};
}

async function update(hub: TestDatabase, table: string, id: unknown, cells: Cells): Promise<Row> {
  return (await send(hub, updateSql(table, { id: String(id) }, cells)))[0] ?? {};
}

/** What the editor shows of an error. */
async function refusal(work: Promise<unknown>): Promise<string> {
  return await work.then((answer) => `accepted: ${JSON.stringify(answer)}`, (error: Error) => error.message);
}

/** One value for each column that is for people. */
const ANNOTATIONS: Cells = {
  description: "Copies new leads into the CRM.\nAsk Dana's team before you pause it: \\o/ 100 %",
  success_criteria: "leads.updated_at moves",
  criticality: "critical",
  alert_channel: "telegram",
  owner: "Dana O'Hara",
  runbook_url: "https://wiki.acme.com/sync?a=1#b",
  grace_minutes: "7.5",
  max_runtime_minutes: "30",
  failure_threshold: "2",
  success_check_sql: "select count(*) > 0 from leads",
  min_rows: "1",
  check_body_ok: "true",
  health_check_url: "https://acme.com/health",
  health_check_header: "apikey: vault:acme_key",
  health_check_status: "2xx, 404",
  health_check_body: '"ok":true',
  health_check_timeout_ms: "3000",
  health_check_max_ms: "800",
  max_error_percent: "12.5",
  min_invocations: "50",
  max_silence_minutes: "1440",
};

/** What a row says in those columns, as text. */
function annotationsOf(row: Row | undefined): Record<string, unknown> {
  const text = (value: unknown) => value === null ? null : String(value);
  return Object.fromEntries(Object.keys(ANNOTATIONS).map((column) => [column, text(row?.[column])]));
}

async function inventory(hub: TestDatabase): Promise<Row[]> {
  return await send(hub, "select * from public.job_inventory order by job_name, job_user;");
}

async function discover(hub: TestDatabase, smoothed: TestDatabase): Promise<void> {
  const config = configFor(hub, { smoothed: smoothed.url });
  const report = await runDiscovery(
    { sql: hub.sql, config, clock: systemClock, log: recordingLog() },
    triggerInput.parse({}),
  );
  assert.equal(report.errors, 0);
}

async function check(hub: TestDatabase, smoothed: TestDatabase): Promise<void> {
  const config = configFor(hub, { smoothed: smoothed.url });
  const report = await runCheck(
    { sql: hub.sql, config, clock: systemClock, log: recordingLog() },
    triggerInput.parse({}),
  );
  assert.equal(report.errors, 0);
}

Deno.test("each column for people takes what the editor sends, and NULL again", async () => {
  await using hub = await testDatabase("hub");
  const forPeople = await hub.sql<{ name: string }[]>`
    select attname as name from pg_attribute
    where attrelid = 'public.job_inventory'::regclass and col_description(attrelid, attnum) like 'For you:%'`;
  assert.deepEqual(forPeople.map(({ name }) => name).sort(), Object.keys(ANNOTATIONS).sort());

  const { id } = await insert(hub, "job_inventory", { project_name: "smoothed", job_name: "sync_leads" });
  for (const [column, value] of Object.entries(ANNOTATIONS)) {
    assert.equal(String((await update(hub, "job_inventory", id, { [column]: value }))[column]), value);
  }
  assert.deepEqual(annotationsOf((await inventory(hub))[0]), ANNOTATIONS);
  const none = Object.fromEntries(Object.keys(ANNOTATIONS).map((column) => [column, null]));
  assert.deepEqual(annotationsOf(await update(hub, "job_inventory", id, none)), none);
});

Deno.test("a cleared text is NULL, and blanks around a text are not kept", async () => {
  await using hub = await testDatabase("hub");
  const key = { project_name: "smoothed", job_name: "sync_leads" };
  const texts = Object.entries(ANNOTATIONS).filter(([column]) =>
    !/minutes|threshold|rows|alert_channel|_ms$|percent|invocations|body_ok/.test(column)
  );
  const each = (change: (value: string) => string) =>
    Object.fromEntries(texts.map(([column, value]) => [column, change(String(value))]));

  const pasted = await insert(hub, "job_inventory", { ...key, ...each((value) => ` ${value} \r\n`) });
  for (const [column, value] of texts) assert.equal(pasted[column], value);
  for (const blank of ["", "  ", "\n"]) {
    const cleared = await update(hub, "job_inventory", pasted["id"], each(() => blank));
    for (const [column] of texts) assert.equal(cleared[column], null, column);
  }

  const target = { channel: "discord", name: "", webhook_url: "vault:discord_url\n" };
  const { name, webhook_url, criticality } = await insert(hub, "alert_config", target);
  assert.deepEqual([name, webhook_url, criticality], [null, "vault:discord_url", "all"]);
  const project = { name: "crm", project_ref: "", database_url: " vault:crm_url", notes: "" };
  const { project_ref, database_url, notes } = await insert(hub, "monitored_projects", project);
  assert.deepEqual([project_ref, database_url, notes], [null, "vault:crm_url", null]);
});

Deno.test("a mistake is refused with a sentence that says what is right", async () => {
  await using hub = await testDatabase("hub");
  const job = await insert(hub, "job_inventory", { project_name: "smoothed", job_name: "sync_leads" });
  const target = await insert(hub, "alert_config", { channel: "discord", webhook_url: "env:HOOK" });
  const ofJob: [cells: Cells, sentence: RegExp][] = [
    [{ criticality: "urgent" }, /"criticality is critical, important or low"/],
    [{ criticality: "Critical" }, /"criticality is critical, important or low"/],
    [{ grace_minutes: "-5" }, /"grace_minutes is 0 to 44640 \(31 days\)"/],
    [{ grace_minutes: "NaN" }, /"grace_minutes is 0 to 44640 \(31 days\)"/],
    [{ grace_minutes: "abc" }, /invalid input syntax for type numeric: "abc"/],
    [{ max_runtime_minutes: "0" }, /"max_runtime_minutes is more than 0 and at most 44640"/],
    [{ failure_threshold: "0" }, /"failure_threshold is 1 to 100"/],
    [{ failure_threshold: "1.5" }, /invalid input syntax for type integer: "1\.5"/],
    [{ min_rows: "-1" }, /"min_rows is 0 or more"/],
    [{ runbook_url: "wiki.acme.com/sync" }, /"runbook_url is an http\(s\) URL"/],
    [{ health_check_url: "acme.com" }, /"health_check_url is an http\(s\) URL, vault:NAME or env:NAME"/],
    [
      { health_check_header: "apikey: sb_secret_x" },
      /"health_check_header is Name: vault:NAME or Name: env:NAME"/,
    ],
    [{ health_check_status: "ok" }, /"health_check_status is such as 200, 2xx or 200, 404"/],
    [{ health_check_timeout_ms: "5" }, /"health_check_timeout_ms is 100 to 30000"/],
    [{ max_error_percent: "NaN" }, /"max_error_percent is more than 0 and at most 100"/],
    [{ min_invocations: "0" }, /"min_invocations is 1 to 1000"/],
    [{ max_silence_minutes: "NaN" }, /"max_silence_minutes is 5 to 44640 \(31 days\)"/],
    [{ success_check_sql: "delete from leads" }, /"success_check_sql is a select"/],
    [{ job_type: "cron" }, /"job_type is pg_cron, edge_function, webhook or heartbeat"/],
    [{ job_name: "" }, /"job_name is not empty"/],
    [{ alert_channel: "" }, /"alert_channel is not empty \(use NULL for none\)"/],
    [{ alert_channel: "  " }, /"alert_channel is not empty \(use NULL for none\)"/],
    [{ job_user: "" }, /"job_user is not empty \(use NULL for none\)"/],
  ];
  for (const [cells, sentence] of ofJob) {
    const told = await refusal(update(hub, "job_inventory", job["id"], cells));
    assert.match(told, sentence, JSON.stringify(cells));
  }
  const added: [table: string, cells: Cells, sentence: RegExp][] = [
    ["job_inventory", { project_name: "smoothed", job_name: " " }, /"job_name is not empty"/],
    ["job_inventory", { project_name: "smoothed", job_name: "sync_leads" }, /job_inventory_identity/],
    ["alert_config", { channel: "pigeon" }, /"channel is one of those that the column's comment names"/],
    ["alert_config", { channel: "" }, /"channel is one of those that the column's comment names"/],
    ["alert_config", { name: "on call" }, /null value in column "channel"/],
    ["alert_config", { channel: "discord", webhook_url: " " }, /"discord needs webhook_url"/],
    ["alert_config", { channel: "telegram", bot_token: "env:T" }, /"telegram needs bot_token and chat_id"/],
    [
      "alert_config",
      { channel: "discord", webhook_url: "env:H", criticality: "" },
      /"criticality is critical, important, low or all"/,
    ],
    ["monitored_projects", { name: "My Project" }, /"name is lower case letters, digits, _ or -"/],
    [
      "monitored_projects",
      { name: "crm", project_ref: "crm" },
      /"project_ref is the 20 letters of the dashb/,
    ],
    [
      "monitored_projects",
      { name: "crm", database_url: "postgresql://u:p@h/db" },
      /"database_url is vault:NAME or env:NAME"/,
    ],
  ];
  for (const [table, cells, sentence] of added) {
    assert.match(await refusal(insert(hub, table, cells)), sentence, `${table} ${JSON.stringify(cells)}`);
  }
  const moved = await refusal(update(hub, "alert_config", target["id"], { channel: "telegram" }));
  assert.match(moved, /"telegram needs bot_token and chat_id"/);
  const setting = (cells: Cells) => send(hub, updateSql("app_settings", { key: "log_successes" }, cells));
  assert.match(await refusal(setting({ value: "maybe" })), /"log_successes is true or false"/);
});

Deno.test("edits that the editor saves together are kept together or not at all", async () => {
  await using hub = await testDatabase("hub");
  const { id } = await insert(hub, "job_inventory", { project_name: "smoothed", job_name: "sync_leads" });
  const save = async (...edits: Cells[]) => {
    const statements = edits.map((cells) => updateSql("job_inventory", { id: String(id) }, cells));
    const connection = await hub.sql.reserve();
    try {
      await connection.unsafe(`begin;\n\n${statements.join("\n")}\n\ncommit;`).simple();
    } finally {
      await connection.unsafe("rollback");
      connection.release();
    }
  };
  await save({ owner: "dana" }, { criticality: "low" });
  assert.match(
    await refusal(save({ owner: "ada" }, { criticality: "urgent" })),
    /"criticality is critical, important or low"/,
  );
  const [row] = await inventory(hub);
  assert.deepEqual([row?.["owner"], row?.["criticality"]], ["dana", "low"]);
});

Deno.test("a row added by hand is the job's own once discovery finds it, also without the job's role", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  const added = await send(
    hub,
    insertSql("job_inventory", [
      { project_name: "smoothed", job_name: "nightly", job_user: "service_role", criticality: "critical" },
      { project_name: "smoothed", job_name: "sync_leads", job_user: null, criticality: "low" },
    ]),
  );
  await addJob(smoothed, { name: "nightly", user: "service_role" });
  const later = await addJob(smoothed, { name: "sync_leads" });
  for (const look of [discover, check]) {
    await look(hub, smoothed);
    const rows = await inventory(hub);
    assert.deepEqual(rows.map((row) => [row["id"], row["job_user"], row["criticality"], row["removed_at"]]), [
      [added[0]?.["id"], "service_role", "critical", null],
      [added[1]?.["id"], "postgres", "low", null],
    ]);
    assert.equal(Number(rows[1]?.["job_id"]), later);
  }
  const changes = await hub.sql`select job_name, change from inventory_changes order by id`;
  assert.deepEqual(changes.map((row) => Object.values(row)), [["nightly", "added"], ["sync_leads", "added"]]);
});

Deno.test("a row added without a role is not guessed to be one of two jobs of that name", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await insert(hub, "job_inventory", {
    project_name: "smoothed",
    job_name: "purge",
    criticality: "critical",
  });
  await addJob(smoothed, { name: "purge" });
  await addJob(smoothed, { name: "purge", user: "service_role" });
  await discover(hub, smoothed);
  const rows = await inventory(hub);
  assert.deepEqual(rows.map((row) => [row["job_user"], row["criticality"], row["removed_at"] === null]), [
    ["postgres", null, true],
    ["service_role", null, true],
    [null, "critical", false],
  ]);
});

Deno.test("neither discovery nor checks undo what a person wrote, and checks go by it", async () => {
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  await watchOnlyOthers(hub);
  await insert(hub, "alert_config", { channel: "telegram", bot_token: "env:TOKEN", chat_id: "env:CHAT" });
  const jobId = await addJob(smoothed);
  await discover(hub, smoothed);
  const [found] = await inventory(hub);
  await update(hub, "job_inventory", found?.["id"], ANNOTATIONS);
  const looks = [
    () => discover(hub, smoothed),
    () => check(hub, smoothed),
    () => smoothed.admin`update cron.job set schedule = '30 * * * *', active = false where jobid = ${jobId}`,
    () => discover(hub, smoothed),
    () => smoothed.admin`update cron.job set schedule = '0 * * * *', active = true where jobid = ${jobId}`,
    () => check(hub, smoothed),
  ];
  for (const look of looks) {
    await look();
    assert.deepEqual(annotationsOf((await inventory(hub))[0]), ANNOTATIONS);
  }

  await update(hub, "job_inventory", found?.["id"], {
    criticality: "low",
    failure_threshold: null,
    owner: "",
  });
  await addRun(smoothed, jobId, { status: "failed", startedSecondsAgo: secondsIntoHour() });
  await check(hub, smoothed);
  await check(hub, smoothed);
  const [row] = await inventory(hub);
  assert.deepEqual(annotationsOf(row), {
    ...ANNOTATIONS,
    criticality: "low",
    failure_threshold: null,
    owner: null,
  });
  const incidents = await hub.sql`select code, severity from incidents`;
  assert.deepEqual(incidents.map((incident) => ({ ...incident })), [{ code: "failed", severity: "low" }]);
});
