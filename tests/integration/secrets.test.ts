/**
 * No secret in what a faulty run leaves behind: the functions as deployed, every kind of fault at once, and then every
 * log line, row, answer and message is searched for every configured secret, in every form that one may take.
 */
import assert from "node:assert/strict";
import postgres from "postgres";
import type { Gateway } from "../../scripts/local/gateway.ts";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import type { ChannelName } from "../../supabase/functions/_shared/domain/delivery.ts";
import { type ScriptedAnswer, type Sink, startSink } from "../fakes/sink.ts";
import { addJob, addRun, secondsIntoHour } from "../support/cron_rows.ts";
import { serveFunctions } from "../support/gateway.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { addTarget } from "../support/targets.ts";

const NAMES = Object.keys(channels) as ChannelName[];
const FUNCTIONS = [
  "discover-jobs",
  "check-job-health",
  "collect-metrics",
  "cron-healthcheck",
  "check-edge-functions",
  "send-alert",
];
const KEYS = {
  default: "sb_secret_default_0b7c5f5e9a",
  monitor: "sb_secret_monitor_4f1e2d3c4b",
  publishable: "sb_publishable_77",
};

/** Passwords as people make them: some want escaping in a URL, in JSON or in a pattern. */
const PASSWORDS = {
  hub: "hub-pass-4Q%25x$1(w",
  smoothed: 'smoothed "pass"+word\\7fK',
  scraping: "scraping/pass?word#81&x=y",
  crm: "crm-pass-from-the-vault-93",
  paused: "paused-pass-5512",
  refused: "wrong-password-of-a-project-6626",
  unescaped: "nobody#escaped-this:password@9931",
};
const OTHERS = {
  management: "sbp_0123456789abcdef0123456789abcdef01234567",
  badDiscord: "not-a-discord-address-but-secret-3141",
  badTelegram: "not-a-bot-token-2718",
  innerWebhook: "path-of-an-inner-host-1618",
  webhookKey: "whsec_bm90IHRoZSBzaW5rJ3Mgc2VjcmV0LCBidXQgb25lIG1vcmU=",
};

interface House {
  gateway: Gateway;
  hub: TestDatabase;
  smoothed: TestDatabase;
  sink: Sink;
  logDir: string;
  /** What must be nowhere. */
  secrets: string[];
}

async function withHouse(test: (house: House) => Promise<void>): Promise<void> {
  await using roles = await createRoles([PASSWORDS.hub, PASSWORDS.smoothed]);
  await using hub = await testDatabase("hub");
  await using smoothed = await testDatabase("project");
  let hours = 0;
  const sink = await startSink({ now: () => Date.UTC(2026, 10, 21) + 3_600_000 * hours++ });
  const secrets = secretsOf(sink);
  await using api = echoingApi(secrets);
  const env = await surroundings(hub, smoothed, sink, api.url, roles.urlFor);
  await hostileJobs(smoothed, secrets);
  const logDir = await Deno.makeTempDir({ prefix: "secrets_test_" });
  const gateway = await serveFunctions({ env, logDir, names: FUNCTIONS });
  try {
    await test({ gateway, hub, smoothed, sink, logDir, secrets });
  } finally {
    await gateway.stop();
    await sink.close();
    await Deno.remove(logDir, { recursive: true });
  }
}

/** Everything that is configured somewhere and is nobody's business. */
function secretsOf(sink: Sink): string[] {
  const targets = Object.values(sink.targets).flatMap(({ webhookUrl, botToken, apiKey, account }) => {
    const path = webhookUrl?.split("/").at(-1) ?? "";
    // an endpoint of our own may have a short path, as the sink's has
    return [botToken, botToken?.split(":")[1], apiKey, account, path.length >= 12 ? path : undefined];
  });
  return [
    ...targets.filter((one) => one !== undefined),
    ...Object.values(PASSWORDS),
    ...Object.values(OTHERS),
    KEYS.default,
    KEYS.monitor,
  ];
}

/** A secret as it is, and as URLs, JSON and headers write it. */
function formsOf(secret: string): string[] {
  const bytes = new TextEncoder().encode(secret);
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    btoa(String.fromCharCode(...bytes)),
    [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  ];
}

/** A Management API that quotes whoever asks it. */
function echoingApi(secrets: readonly string[]) {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const message = `${request.headers.get("authorization")} ${secrets.join(" ")}`;
    return Response.json({ message }, { status: 401 });
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** Roles that log in with these passwords, until the databases are gone. */
async function createRoles(passwords: readonly string[]) {
  const databaseUrl = await clusterUrl();
  const admin = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  const names = new Map(
    passwords.map((password) => [password, `secrets_${crypto.randomUUID().slice(0, 8)}`]),
  );
  for (const [password, name] of names) {
    await admin.unsafe(`create role ${name} superuser login password '${password.replaceAll("'", "''")}'`);
  }
  return {
    urlFor: (db: TestDatabase, password: string) => {
      const url = new URL(withPassword(db.url, password));
      url.username = names.get(password) ?? "";
      return url.href;
    },
    [Symbol.asyncDispose]: async () => {
      for (const name of names.values()) await admin.unsafe(`drop role ${name}`);
      await admin.end({ timeout: 1 });
    },
  };
}

/** The cluster's own database, which outlives those of a test. */
async function clusterUrl(): Promise<string> {
  await using db = await testDatabase("project");
  const url = new URL(db.adminUrl);
  url.pathname = "/postgres";
  return url.href;
}

function withPassword(url: string, password: string): string {
  const changed = new URL(url);
  changed.password = encodeURIComponent(password);
  return changed.href;
}

/** One project that works, and others that fail in their own ways; every secret by reference, half in the Vault. */
async function surroundings(
  hub: TestDatabase,
  smoothed: TestDatabase,
  sink: Sink,
  apiUrl: string,
  urlFor: (db: TestDatabase, password: string) => string,
): Promise<Record<string, string>> {
  const env: Record<string, string> = {
    SMOOTHED_SUPABASE_POSTGRES_URL: urlFor(smoothed, PASSWORDS.smoothed),
    REFUSED_SUPABASE_POSTGRES_URL: withPassword(smoothed.url, PASSWORDS.refused),
    SCRAPING_SUPABASE_POSTGRES_URL: withPassword(
      "postgresql://postgres@127.0.0.1:1/postgres",
      PASSWORDS.scraping,
    ),
    PAUSED_SUPABASE_POSTGRES_URL: withPassword(
      "postgresql://u@db.paused.invalid:5432/postgres",
      PASSWORDS.paused,
    ),
    MANAGEMENT_API_URL: apiUrl,
    MANAGEMENT_API_TOKEN: OTHERS.management,
    OUTGOING_ALLOWED_HOSTS: new URL(sink.url).host,
    BAD_DISCORD: `https://discord.example/${OTHERS.badDiscord}`,
    INNER_WEBHOOK: `https://10.1.2.3/${OTHERS.innerWebhook}`,
    WEBHOOK_KEY: OTHERS.webhookKey,
  };
  for (const name of NAMES) await addTarget({ sql: hub.sql, sink, env }, name);
  for (const [index, column] of ["webhook_url", "api_key", "bot_token"].entries()) {
    if (index % 2 === 0) await moveIntoVault(hub, env, column);
  }
  await hub.sql`
    select vault.create_secret(${`mysql://u:${PASSWORDS.crm}@127.0.0.1/x`}, 'CRM_URL'),
           vault.create_secret(${`postgresql://u:${PASSWORDS.unescaped}@127.0.0.1:5432/x`}, 'UNESCAPED_URL'),
           vault.create_secret(${OTHERS.badTelegram}, 'BAD_BOT')`;
  await hub.sql`
    insert into monitored_projects (name, database_url, project_ref) values
      ('crm', 'vault:CRM_URL', null), ('gone', 'vault:NOTHING', null), ('unescaped', 'vault:UNESCAPED_URL', null), ('smoothed', null, 'abcdefghijklmnopqrst')`;
  await hub.sql`
    insert into alert_config (channel, webhook_url, bot_token, chat_id, api_key) values
      ('discord', 'env:BAD_DISCORD', null, null, null), ('telegram', null, 'vault:BAD_BOT', '1', null),
      ('webhook', 'env:INNER_WEBHOOK', null, null, 'env:WEBHOOK_KEY'), ('slack', 'vault:NOTHING', null, null, null)`;
  return {
    ...env,
    SUPABASE_URL: "http://127.0.0.1:9",
    SUPABASE_DB_URL: urlFor(hub, PASSWORDS.hub),
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: KEYS.publishable }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: KEYS.default, monitor: KEYS.monitor }),
    SUPABASE_JWKS: JSON.stringify({ keys: [] }),
  };
}

async function moveIntoVault(hub: TestDatabase, env: Record<string, string>, column: string): Promise<void> {
  const rows = await hub.sql<{ id: string; reference: string }[]>`
    select id, ${hub.sql(column)} as reference from alert_config where ${hub.sql(column)} like 'env:%'`;
  for (const { id, reference } of rows) {
    const name = reference.slice("env:".length);
    await hub.sql`select vault.create_secret(${env[name] ?? ""}, ${name})`;
    await hub.sql`update alert_config set ${hub.sql({ [column]: `vault:${name}` })} where id = ${id}`;
    delete env[name];
  }
}

/** Jobs that hold every secret in their name, their command and what they said when they failed. */
async function hostileJobs(db: TestDatabase, secrets: readonly string[]): Promise<void> {
  await addRun(db, await addJob(db, { name: "job that succeeds" }), { startedSecondsAgo: secondsIntoHour() });
  for (const [index, secret] of secrets.entries()) {
    for (const [form, text] of formsOf(secret).entries()) {
      const name = form === 0 ? `job ${index} ${text}` : `job ${index} ${form}`;
      const job = await addJob(db, { name, command: `select report('${text.replaceAll("'", "''")}')` });
      await addRun(db, job, {
        status: "failed",
        message: `ERROR:  cannot report with ${text}\nDETAIL:  ${text}`,
        startedSecondsAgo: secondsIntoHour(),
      });
    }
  }
}

/** Metrics whose labels and errors are secrets, and a success check that quotes one; the project alone has the words. */
async function hostileQueries(
  hub: TestDatabase,
  smoothed: TestDatabase,
  secrets: readonly string[],
): Promise<void> {
  await smoothed.sql`create table words as select * from unnest(${
    secrets.flatMap(formsOf)
  }::text[]) with ordinality as t (word, n)`;
  for (let n = 1; n <= secrets.length * 5; n += 9) {
    await hub.sql`
      insert into metric_definitions (name, query, warning, critical, project_name)
      values (${`quotes_${n}`}, ${`select word as label, 99.0 as value from words where n = ${n}`}, 1, 2, 'smoothed'),
             (${`breaks_${n}`}, ${`select word::integer as value from words where n = ${n}`}, 1, 2, 'smoothed')`;
  }
  await hub.sql`
    update job_inventory set success_check_sql = 'select word::integer > 0 from words where n = 1'
    where job_name = 'job that succeeds'`;
  const [job] = await smoothed.admin<{ id: number }[]>`
    select jobid::int as id from cron.job where jobname = 'job that succeeds'`;
  await addRun(smoothed, job?.id ?? 0, { startedSecondsAgo: 1, seconds: 0 });
}

async function call({ gateway }: House, name: string, body: unknown, key = KEYS.monitor): Promise<string> {
  const request = { method: "POST", headers: { apikey: key }, body: JSON.stringify(body) };
  const response = await fetch(`${gateway.url}/functions/v1/${name}`, request);
  return `${response.status} ${JSON.stringify([...response.headers])} ${await response.text()}`;
}

/** Every vendor quotes whatever opens its door, in every kind of answer. */
function quoteAll(sink: Sink, round: number): void {
  for (const name of NAMES) {
    const { webhookUrl = "", botToken = "", apiKey = "", account = "" } = sink.targets[name];
    const own = [
      webhookUrl,
      webhookUrl.split("/").at(-1) ?? "",
      botToken,
      apiKey,
      account,
      `${account}:${apiKey}`,
    ];
    const faults = quotesOf(name, own.filter((one) => one.length > 8).flatMap(formsOf).join(" "));
    sink.script(name, [faults[round % faults.length] ?? {}]);
  }
}

function quotesOf(name: ChannelName, all: string): ScriptedAnswer[] {
  const quoted = {
    ok: false,
    message: all,
    description: all,
    error_code: 400,
    ErrorCode: 300,
    Message: all,
    name: all,
    code: 20003,
    errors: [all],
    more_info: all,
  };
  const faults: ScriptedAnswer[] = [
    { status: 500, body: `<html>${all}` },
    { status: 429, body: quoted },
    { status: 200, body: `<html>${all}` },
    { destroy: true },
    { status: 400, body: quoted },
    { status: 404, body: all },
  ];
  // to a webhook every success is one
  return name === "webhook" ? faults.filter(({ status }) => status !== 200) : faults;
}

/** News for every row; what waits is due, and what is dead gets another chance. */
async function nextRound({ hub }: House): Promise<void> {
  await hub.sql`update alert_deliveries set next_attempt_at = now(), leased_until = null where state = 'due'`;
  await hub.sql`delete from channel_state`;
  await hub.sql`
    with incident as (
      insert into incidents (project_name, subject_kind, subject_id, code, severity, summary)
      values (gen_random_uuid()::text, 'job', gen_random_uuid()::text, 'failed', 'important', 'it failed') returning id
    ), delivery as (
      insert into alert_deliveries (alert_config_id, channel, event, admitted_at)
      select id, channel, 'opened', null from alert_config returning id
    )
    insert into delivery_incidents (delivery_id, incident_id) select delivery.id, incident.id from delivery, incident`;
}

/** Every row of every table and view of ours, as text. */
async function everyRow({ hub }: House): Promise<string> {
  const tables = await hub.admin<{ name: string }[]>`
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'monitoring', 'net') and c.relkind in ('r', 'p', 'v', 'm')`;
  const texts = [];
  for (const { name } of tables) {
    const rows = await hub.admin.unsafe(`select to_jsonb(t) as row from ${name} as t`);
    texts.push(...rows.map(({ row }) => `${name} ${JSON.stringify(row)}`));
  }
  return texts.join("\n");
}

async function everyLogLine({ logDir }: House): Promise<string> {
  const files = await Array.fromAsync(Deno.readDir(logDir));
  const texts = await Promise.all(files.map(({ name }) => Deno.readTextFile(`${logDir}/${name}`)));
  return texts.join("\n");
}

/** What the vendors were sent, without what opens the door to them. */
function everyMessage({ sink }: House): string {
  return sink.deliveries().map(({ channel, text, raw }) => {
    const { routing_key: _, ...body } = typeof raw === "object" && raw !== null
      ? raw as Record<string, unknown>
      : { raw };
    return `${channel} ${text} ${JSON.stringify(body)}`;
  }).join("\n");
}

function leaks(where: string, text: string, secrets: readonly string[]): string[] {
  return secrets.flatMap((secret) =>
    formsOf(secret).flatMap((form, index) => {
      const at = text.indexOf(form);
      return at < 0 ? [] : [
        `${where}, form ${index} of "${secret}": …${
          text.slice(Math.max(0, at - 120), at + form.length + 40)
        }…`,
      ];
    })
  );
}

Deno.test("no log line, row, answer or message of a faulty run holds a secret in any form", () =>
  withHouse(async (house) => {
    const { hub, sink, secrets } = house;
    const answers: string[] = [];
    const everyone = async (body: unknown, key?: string) => {
      for (const name of FUNCTIONS) answers.push(await call(house, name, body, key));
    };
    await everyone({});
    await hostileQueries(hub, house.smoothed, secrets);
    await everyone({});
    await everyone({ dry_run: true });
    const rows = [await everyRow(house)];
    for (let round = 0; round < 6; round++) {
      await nextRound(house);
      quoteAll(sink, round);
      answers.push(await call(house, "send-alert", {}));
      rows.push(await everyRow(house));
    }
    for (const channel of NAMES) answers.push(await call(house, "send-alert", { test: { channel } }));
    await everyone({}, "sb_secret_wrong");
    await everyone({ unknown: "field" });
    const logs = await everyLogLine(house);
    const messages = everyMessage(house);
    assert.match(answers.join("\n"), /\*\*\*/, "something was quoted");
    assert.match(answers.join("\n"), /"metric":"quotes_1","unit":null,"status":"ok"/);
    assert.match(answers.join("\n"), /"metric":"breaks_1","unit":null,"status":"failed"/);
    assert.match(answers.join("\n"), /"verdict":"criteria_not_met"/);
    for (const name of NAMES) {
      const failed = sink.deliveries().filter(({ channel, accepted }) =>
        channel === name && !accepted
      ).length;
      assert.ok(failed >= 6, `${name} met ${failed} faults`);
    }
    const [seen] = await hub
      .sql`select count(*)::int as jobs, count(distinct job_name)::int as names from job_inventory where project_name = 'smoothed'`;
    assert.deepEqual([seen?.jobs > 100, seen?.names === seen?.jobs], [true, true]);
    assert.deepEqual([
      ...leaks("answers", answers.join("\n"), secrets),
      ...leaks("rows", rows.join("\n"), secrets),
      ...leaks("logs", logs, secrets),
      ...leaks("messages", messages, secrets),
    ], []);
  }));
