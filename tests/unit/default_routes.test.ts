/** Where alerts go when nobody has said so. */
import assert from "node:assert/strict";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import { defaultAlertConfigs } from "../../supabase/functions/_shared/rules/default_routes.ts";

const SECRETS = {
  telegram: ["TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"],
  pagerduty: ["PAGERDUTY_ROUTING_KEY"],
  twilio: ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM", "TWILIO_TO"],
  discord: ["DISCORD_WEBHOOK_URL"],
  slack: ["SLACK_WEBHOOK_URL"],
  resend: ["RESEND_API_KEY", "RESEND_FROM", "ALERT_EMAIL_TO"],
  postmark: ["POSTMARK_SERVER_TOKEN", "POSTMARK_FROM", "ALERT_EMAIL_TO"],
};
type Configurable = keyof typeof SECRETS;

function rowsWith(...names: Configurable[]) {
  const secrets = new Set(names.flatMap((name) => SECRETS[name]));
  return defaultAlertConfigs((name) => secrets.has(name));
}

function routesWith(...names: Configurable[]): string[] {
  return rowsWith(...names).map(({ channel, criticality }) => `${channel}: ${criticality}`);
}

Deno.test("critical goes to Telegram, PagerDuty and SMS, the others to Discord and Slack, everything to mail", () => {
  assert.deepEqual(routesWith("telegram", "pagerduty", "twilio", "discord", "slack", "resend", "postmark"), [
    "telegram: critical",
    "pagerduty: critical",
    "twilio: critical",
    "discord: important",
    "discord: low",
    "slack: important",
    "slack: low",
    "resend: all",
    "postmark: all",
  ]);
});

Deno.test("without secrets there are no default routes, nor for a channel of which one is missing", () => {
  assert.deepEqual(routesWith(), []);
  for (const secrets of Object.values(SECRETS).filter((secrets) => secrets.length > 1)) {
    for (const missing of secrets) {
      assert.deepEqual(
        defaultAlertConfigs((name) => secrets.includes(name) && name !== missing),
        [],
        missing,
      );
    }
  }
});

Deno.test("what is quiet takes critical alerts too where nothing is loud", () => {
  assert.deepEqual(routesWith("discord", "slack"), ["discord: all", "slack: all"]);
  assert.deepEqual(routesWith("discord", "resend"), ["discord: all", "resend: all"]);
});

Deno.test("what is loud takes everything where nothing else is there", () => {
  assert.deepEqual(routesWith("telegram"), ["telegram: all"]);
  assert.deepEqual(routesWith("pagerduty", "twilio"), ["pagerduty: all", "twilio: critical"]);
  assert.deepEqual(routesWith("telegram", "postmark"), ["telegram: critical", "postmark: all"]);
});

Deno.test("no severity is without a row, whatever is configured", () => {
  const names = Object.keys(SECRETS) as Configurable[];
  for (let chosen = 1; chosen < 2 ** names.length; chosen++) {
    const rows = rowsWith(...names.filter((_, index) => chosen & (2 ** index)));
    for (const severity of ["critical", "important", "low"]) {
      assert.ok(
        rows.some((row) => row.criticality === "all" || row.criticality === severity),
        `${severity} ${chosen}`,
      );
    }
    assert.equal(new Set(rows.map((row) => row.name)).size, rows.length, "names are different");
  }
});

Deno.test("rows hold references and no secret, in columns that their channel reads", () => {
  for (
    const { name: _name, channel, criticality: _criticality, ...target } of rowsWith(
      "twilio",
      "postmark",
      "slack",
    )
  ) {
    for (const reference of Object.values(target)) assert.match(reference ?? "", /^env:[A-Z_]+$/);
    assert.ok(channel in channels);
  }
});
