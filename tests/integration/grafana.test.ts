/** The dashboards of `docs/grafana`, run as their own role over a hub with something to show. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { type Dashboard, readDashboards } from "../../scripts/grafana/dashboards.ts";
import { lacks, readPanel, readVariables, seriesOf } from "../../scripts/grafana/result.ts";
import { seedDemoHistory } from "../../scripts/local/demo_history.ts";
import { readBlocks } from "../support/markdown.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const PROVISIONING = new URL("../../docs/grafana/provisioning/", import.meta.url);
/** Columns of Grafana's grid. */
const COLUMNS = 24;

/** As the role that dashboards read with; how it gets a password is in `docs/grafana`. */
async function asReader(db: TestDatabase): Promise<postgres.Sql> {
  await db.sql`alter role grafana_reader login password 'only for tests'`;
  const url = new URL(db.url);
  url.username = "grafana_reader";
  url.password = encodeURIComponent("only for tests");
  return postgres(url.href, { max: 1, onnotice: () => {} });
}

async function refusal(query: Promise<unknown>): Promise<string> {
  return await query.then(() => "it was accepted", (error: Error) => error.message);
}

function day(): { from: Date; to: Date } {
  const to = new Date();
  return { from: new Date(to.getTime() - 24 * 3_600_000), to };
}

Deno.test("every query of every dashboard gives the role what its panel needs", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql, { days: 3 });
  const reader = await asReader(db);
  try {
    const faults: string[] = [];
    for (const { file, dashboard } of await readDashboards()) {
      const variables = await readVariables(reader, dashboard, day());
      for (const panel of dashboard.panels) {
        const found = await readPanel(reader, panel, day(), variables).then(
          (result) => lacks(panel, result),
          (error: Error) => [error.message],
        );
        faults.push(...found.map((fault) => `${file}: "${panel.title}" (${panel.type}): ${fault}`));
      }
    }
    assert.deepEqual(faults, []);
  } finally {
    await reader.end();
  }
});

Deno.test("a hub that nobody has used makes no query fail", async () => {
  await using db = await testDatabase("hub");
  const reader = await asReader(db);
  try {
    for (const { dashboard } of await readDashboards()) {
      const variables = await readVariables(reader, dashboard, day());
      assert.ok(Object.values(variables).every((values) => values.length === 0));
      for (const panel of dashboard.panels) await readPanel(reader, panel, day(), variables);
    }
  } finally {
    await reader.end();
  }
});

Deno.test("whatever the time and the choice are, every query is one that Postgres can run", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql, { days: 3 });
  const reader = await asReader(db);
  try {
    const [now, HOUR] = [Date.now(), 3_600_000];
    const periods = [[0, 0], [-365 * 24, 0], [-3650 * 24, 0], [1, 2], [0, -1], [-800 * 24, -799 * 24]].map((
      [from = 0, to = 0],
    ) => ({ from: new Date(now + from * HOUR), to: new Date(now + to * HOUR) }));
    const faults: string[] = [];
    for (const { file, dashboard } of await readDashboards()) {
      const named = (values: string[]) =>
        Object.fromEntries(dashboard.templating.list.map(({ name }) => [name, values]));
      const choices = [
        await readVariables(reader, dashboard, day()),
        named([]),
        named(["none"]),
        named(['o\'brien "x"', "a)b(", "\\'; drop table x; --"]),
      ];
      for (const panel of dashboard.panels) {
        for (const period of periods) {
          for (const choice of choices) {
            await readPanel(reader, panel, period, choice).catch((error: Error) =>
              faults.push(`${file}: "${panel.title}": ${error.message}`)
            );
          }
        }
      }
    }
    assert.deepEqual(faults, []);
  } finally {
    await reader.end();
  }
});

Deno.test("the percentiles that are drawn are Postgres' own", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql, { days: 3 });
  const reader = await asReader(db);
  try {
    const jobs = (await readDashboards()).find(({ file }) => file === "jobs.json")?.dashboard;
    const panel = jobs?.panels.find(({ title }) => title === "Latency of detection");
    assert.ok(jobs && panel);
    const period = day();
    const result = await readPanel(reader, panel, period, await readVariables(reader, jobs, period));
    const [first] = seriesOf(result).find(({ name }) => name === "P95")?.points ?? [];
    assert.ok(first);
    const late = await db.sql<{ p95: number }[]>`
      select percentile_cont(0.95) within group (order by extract(epoch from collected_at - run_at - coalesce(duration, '0'))) as p95
      from job_health_log
      where status in ('failed', 'missed') and collected_at between ${period.from} and ${period.to}
        and collected_at >= ${first.at} and collected_at < ${new Date(first.at.getTime() + 3_600_000)}`;
    assert.ok(Math.abs(Number(late[0]?.p95) - Number(first.value)) < 1e-6);
  } finally {
    await reader.end();
  }
});

Deno.test("ids are unique, panels stay on the grid and apart, and all read the one data source", async () => {
  const provisioned = await Deno.readTextFile(
    new URL("datasources/supabase_job_monitor.yaml", PROVISIONING),
  );
  const uid = /^ {4}uid: (\S+)$/m.exec(provisioned)?.[1];
  const type = /^ {4}type: (\S+)$/m.exec(provisioned)?.[1];
  const dashboards = await readDashboards();
  const uids = dashboards.map(({ dashboard }) => dashboard.uid);
  assert.deepEqual(uids, [...new Set(uids)]);
  for (const { file, dashboard } of dashboards) {
    const ids = dashboard.panels.map(({ id }) => id);
    assert.deepEqual(ids, [...new Set(ids)], file);
    assert.deepEqual(offGrid(dashboard), [], file);
    const sources = [
      ...dashboard.panels,
      ...dashboard.templating.list,
      ...dashboard.panels.flatMap((p) => p.targets),
    ]
      .map(({ datasource }) => datasource);
    assert.ok(sources.every((source) => source.uid === uid && source.type === type), file);
  }
});

function offGrid({ panels }: Dashboard): string[] {
  const overlaps = panels.flatMap((a, index) =>
    panels.slice(index + 1).filter((b) => overlap(a.gridPos, b.gridPos)).map((b) =>
      `${a.title} lies on ${b.title}`
    )
  );
  const outside = panels.filter(({ gridPos: { x, y, w, h } }) =>
    x < 0 || y < 0 || w < 1 || h < 1 || x + w > COLUMNS
  );
  return [...overlaps, ...outside.map(({ title }) => `${title} is outside`)];
}

function overlap(a: Dashboard["panels"][number]["gridPos"], b: typeof a): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

Deno.test("the data source opens as many connections as the role may have, and verifies the server", async () => {
  await using db = await testDatabase("hub");
  const [role] = await db.sql`
    select rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolconnlimit, rolconfig
    from pg_roles where rolname = 'grafana_reader'`;
  assert.equal(role?.rolconnlimit, 5);
  assert.deepEqual([role.rolsuper, role.rolbypassrls, role.rolcreaterole, role.rolcreatedb], [
    false,
    false,
    false,
    false,
  ]);
  assert.ok(role.rolconfig.includes("statement_timeout=20s"));
  assert.ok(role.rolconfig.includes("default_transaction_read_only=on"));
  const source = await Deno.readTextFile(new URL("datasources/supabase_job_monitor.yaml", PROVISIONING));
  assert.match(source, /^ {6}maxOpenConns: 5$/m);
  assert.match(source, /^ {6}sslmode: verify-full$/m);
  assert.match(source, /^ {6}password: \$HUB_GRAFANA_PASSWORD$/m);
});

Deno.test("the role reads its views and nothing else, and nobody else reads them", async () => {
  await using db = await testDatabase("hub");
  await seedDemoHistory(db.sql, { days: 3 });
  const reader = await asReader(db);
  try {
    const views = await db.sql<{ name: string }[]>`
      select c.relname as name from pg_class c where c.relnamespace = 'grafana'::regnamespace and c.relkind = 'v'`;
    assert.ok(views.length >= 9);
    for (const { name } of views) await reader.unsafe(`select * from grafana.${name} limit 1`);
    const tables = await db.sql<{ name: string }[]>`
      select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname in ('public', 'monitoring', 'vault', 'cron') and c.relkind in ('r', 'p', 'v')`;
    for (const { name } of tables) {
      assert.match(await refusal(reader.unsafe(`select * from ${name} limit 1`)), /permission denied/, name);
    }
    assert.match(await refusal(reader`select monitoring.purge()`), /permission denied/);
    assert.match(
      await refusal(reader.unsafe("begin read write; delete from grafana.metrics")),
      /permission denied/,
    );
    for (const role of ["anon", "authenticated"]) {
      for (const { name } of views) {
        const query = db.admin.begin((sql) =>
          sql.unsafe(`set local role ${role}; select * from grafana.${name}`)
        );
        assert.match(await refusal(query), /permission denied for schema grafana/, `${role}: ${name}`);
      }
    }
  } finally {
    await reader.end();
  }
});

Deno.test("the SQL of docs/grafana lets the role in and switches on what fills the dashboards", async () => {
  await using db = await testDatabase("hub");
  const page = await Deno.readTextFile(new URL("../../docs/grafana/README.md", import.meta.url));
  const blocks = readBlocks(page).filter(({ language }) => language === "sql");
  assert.equal(blocks.length, 2);
  for (const { text } of blocks) await db.sql.unsafe(text).simple();
  const shown = (await readDashboards()).flatMap(({ dashboard }) =>
    dashboard.panels.flatMap(({ targets }) => targets.map(({ rawSql }) => rawSql))
  ).join("\n");
  const off = await db.sql<{ name: string }[]>`select name from metric_definitions where not enabled`;
  assert.deepEqual(
    off.map(({ name }) => name).filter((name) => shown.includes(`'${name}'`)),
    [],
  );
});

Deno.test("no view shows a command, a target or what was sent", async () => {
  await using db = await testDatabase("hub");
  const shown = await db.sql<{ name: string }[]>`
    select distinct a.attname as name from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'grafana'::regnamespace and a.attnum > 0`;
  const names = new Set(shown.map(({ name }) => name));
  for (const secret of ["command", "rendered", "webhook_url", "bot_token", "api_key", "detail", "query"]) {
    assert.ok(!names.has(secret), secret);
  }
});
