/** Telegram's, PagerDuty's and the watchdogs' sides of the functions, served as deployed. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import type { Gateway } from "../../scripts/local/gateway.ts";
import { functionEnvironment } from "../../scripts/local/stack_env.ts";
import { createWatchdogs, type FakeWatchdogs } from "../fakes/watchdogs.ts";
import { serveFunctions } from "../support/gateway.ts";
import { addIncident, addTelegram, onStage, owe, row, type Stage } from "../support/outbox.ts";
import { waitFor } from "../support/wait_for.ts";

const KEYS = { default: "sb_secret_default", monitor: "sb_secret_monitor", publishable: "sb_publishable_x" };
const TELEGRAM_SECRET = "telegram-secret_0123456789";
const PAGERDUTY_SECRET = "pagerduty+secret/0123456789==";

interface House {
  stage: Stage;
  gateway: Gateway;
  watchdogs: FakeWatchdogs;
  /** Everything that the functions have logged. */
  logs(): Promise<string>;
}

/** The functions on a hub of a test's own, with all secrets set. */
async function withFunctions(use: (house: House) => Promise<void>): Promise<void> {
  await onStage(async (stage) => {
    const [database] = await stage.sql<{ name: string; port: number }[]>`
      select current_database() as name, inet_server_port() as port`;
    const watchdogs = createWatchdogs();
    const watchdogServer = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => watchdogs.handle(request),
    );
    const watchdogHost = `127.0.0.1:${watchdogServer.addr.port}`;
    const logDir = await Deno.makeTempDir({ prefix: "webhooks_test_" });
    const { host, pass } = stage.sql.options;
    const env = functionEnvironment({
      gatewayUrl: "http://127.0.0.1:9",
      hubDbUrl: `postgresql://postgres:${pass}@${host[0]}:${database?.port}/${database?.name}`,
      projectDbUrls: {},
      keys: KEYS,
      sink: stage.sink,
    }, {
      TELEGRAM_WEBHOOK_SECRET: TELEGRAM_SECRET,
      PAGERDUTY_WEBHOOK_SECRET: `an-older-one, ${PAGERDUTY_SECRET}`,
      PAGERDUTY_API_URL: stage.sink.url,
      OUTGOING_ALLOWED_HOSTS: `${new URL(stage.sink.url).host},${watchdogHost}`,
      DEADMAN_PING_URL: `http://${watchdogHost}${watchdogs.pingPath}`,
      SENTRY_CRONS_URL:
        `http://${watchdogHost}/api${watchdogs.dsnPath}/cron/check-job-health/${watchdogs.publicKey}/`,
    });
    const gateway = await serveFunctions({ env, logDir });
    const logs = async () => {
      const names = await Array.fromAsync(Deno.readDir(logDir));
      return (await Promise.all(names.map(({ name }) => Deno.readTextFile(`${logDir}/${name}`)))).join("\n");
    };
    try {
      await use({ stage, gateway, watchdogs, logs });
    } finally {
      await gateway.stop();
      await watchdogServer.shutdown();
      await Deno.remove(logDir, { recursive: true });
    }
  });
}

async function call({ gateway }: House, name: string, body: string, headers: Record<string, string>) {
  const response = await fetch(`${gateway.url}/functions/v1/${name}`, { method: "POST", headers, body });
  return { status: response.status, json: await response.json() };
}

Deno.test("the vendors' sides of the functions, served as deployed", async (t) => {
  await withFunctions(async (house) => {
    const { stage, watchdogs, logs } = house;

    await t.step("an alert sent by send-alert has buttons, and a press of one is heard", async () => {
      const config = await addTelegram(stage);
      const delivery = await owe(stage, [await addIncident(stage)], { config, channel: "telegram" });
      const sent = await call(house, "send-alert", "{}", { apikey: KEYS.monitor });
      assert.deepEqual([sent.status, sent.json.sent], [200, 1]);
      const messageId = Number((await row(stage, delivery)).provider_id);
      const update = JSON.stringify(stage.sink.telegram.press({ messageId, button: "Acknowledge" }));

      const strangers: Record<string, string>[] = [
        {},
        { apikey: KEYS.monitor },
        { "x-telegram-bot-api-secret-token": `${TELEGRAM_SECRET}x` },
      ];
      for (const headers of strangers) {
        const { status, json } = await call(house, "telegram-webhook", update, headers);
        assert.deepEqual([status, json.error], [401, { code: "unauthorized", message: "Unauthorized" }]);
      }
      const known = { "x-telegram-bot-api-secret-token": TELEGRAM_SECRET };
      assert.equal((await call(house, "telegram-webhook", "{", known)).status, 400);
      const { status, json } = await call(house, "telegram-webhook", update, known);
      assert.deepEqual([status, json.ok, json.handled, json.notes], [200, true, true, []]);
      const [incident] = await stage.sql`select acknowledged_by from incidents`;
      assert.equal(incident?.acknowledged_by, "Dana Lee (@dana, Telegram 4711)");
      assert.deepEqual(stage.sink.telegram.buttonsOf(messageId)[0], ["✓ Acknowledged by Dana Lee"]);
    });

    await t.step("PagerDuty's signed events are followed, others are not", async () => {
      await stage.sql`delete from alert_config`;
      const apiKey = stage.sink.targets.pagerduty.apiKey ?? "";
      const [config] = await stage.sql<{ id: string }[]>`
        insert into alert_config (channel, api_key) values ('pagerduty', ${apiKey}) returning id`;
      const id = await addIncident(stage);
      const delivery = await owe(stage, [id], { config: config?.id ?? "", channel: "pagerduty" });
      await call(house, "send-alert", "{}", { apikey: KEYS.monitor });
      const key = (await row(stage, delivery)).provider_id;
      const body = JSON.stringify({
        event: {
          event_type: "incident.acknowledged",
          occurred_at: new Date().toISOString(),
          agent: { summary: "Zoë 🚒" },
          data: { incident_key: key, number: 2 },
        },
      });
      const sign = (secret: string, text = body) => ({
        "x-pagerduty-signature": `v1=${"0".repeat(64)},v1=${
          createHmac("sha256", secret).update(text).digest("hex")
        }`,
      });
      const unsigned: Record<string, string>[] = [
        {},
        { apikey: KEYS.monitor },
        sign("another"),
        sign(PAGERDUTY_SECRET, "{}"),
      ];
      for (const headers of unsigned) {
        assert.equal((await call(house, "pagerduty-webhook", body, headers)).status, 401);
      }
      const { status, json } = await call(house, "pagerduty-webhook", body, sign(PAGERDUTY_SECRET));
      assert.deepEqual([status, json.incidents, json.changed], [202, 1, 1]);
      const [incident] = await stage.sql`select acknowledged_by from incidents where id = ${id}`;
      assert.equal(incident?.acknowledged_by, "Zoë 🚒 (PagerDuty)");
      const ping = '{"event":{"event_type":"pagey.ping","data":{"type":"ping"}}}';
      assert.equal((await call(house, "pagerduty-webhook", ping, sign(PAGERDUTY_SECRET, ping))).status, 202);
      assert.equal((await call(house, "pagerduty-webhook", "{}", sign(PAGERDUTY_SECRET, "{}"))).status, 400);
    });

    await t.step("a check tells the watchdogs, and its answer says so", async () => {
      const { status, json } = await call(house, "check-job-health", "{}", { apikey: KEYS.monitor });
      assert.equal(status, 200);
      assert.deepEqual(json.watchdogs, [{ watchdog: "dead_man", told: "complete", ok: true }]);
      assert.deepEqual(watchdogs.taken.map(({ news }) => news), ["start", "success"]);
      const cron = await call(house, "check-job-health", '{"source":"cron"}', { apikey: KEYS.monitor });
      assert.equal(cron.status, 202);
      await waitFor(() => watchdogs.taken.length >= 6, { what: "both watchdogs to hear", withinMs: 60_000 });
      assert.deepEqual(watchdogs.taken.slice(2).map(({ news }) => news).toSorted(), [
        "in_progress",
        "ok",
        "start",
        "success",
      ]);
    });

    await t.step("nothing of the secrets is in the logs", async () => {
      const text = await logs();
      assert.match(text, /button pressed/);
      assert.match(text, /event followed/);
      assert.match(text, /watchdog told/);
      const secrets = [
        TELEGRAM_SECRET,
        PAGERDUTY_SECRET,
        watchdogs.publicKey,
        watchdogs.pingPath.slice(6),
        stage.sink.telegramBotToken,
        stage.sink.targets.pagerduty.apiKey ?? "",
      ];
      for (const secret of secrets) assert.ok(!text.includes(secret), secret.slice(0, 6));
    });
  });
});
