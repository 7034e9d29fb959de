/** Telegram's messages, requests and outcomes. */
import assert from "node:assert/strict";
import { telegram } from "../../supabase/functions/_shared/channels/telegram.ts";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import type { Message } from "../../supabase/functions/_shared/domain/delivery.ts";
import { parseTelegramHtml } from "../fakes/telegram_html.ts";
import { alertJob, HOSTILE, incident, message, NOW } from "../support/alerts.ts";

const BOT_TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz0123";
const TARGET = { botToken: BOT_TOKEN, chatId: "-1001234567890" };
const OPTIONS = { deliveryId: "1", apiUrl: "https://api.telegram.org/", now: NOW };
const RENDERED = telegram.render(message());

function htmlOf(message: Message): string {
  return String(telegram.render(message).body.text);
}

function response(status: number, json: unknown): VendorAnswer {
  return { kind: "response", status, json, excerpt: "", retryAfterMs: null };
}

function refusal(status: number, description: string, parameters?: unknown): VendorAnswer {
  return response(status, {
    ok: false,
    error_code: status,
    description,
    ...(parameters ? { parameters } : {}),
  });
}

Deno.test("a Telegram alert has the verdict in bold, facts by line, the error as code, links and the id", () => {
  const job = alertJob({ description: null, successCriteria: null });
  assert.equal(
    htmlOf(composeMessage({ event: "opened", incidents: [incident({ job })], now: NOW })),
    `<b>🔴 FAILED: sync_leads in smoothed · critical</b>
The last run failed: ERROR: division by zero.

<b>Ran at:</b> 2026-11-21 12:45 UTC (2 min 12 s ago)
<b>Last success:</b> 2026-11-21 12:30:01 UTC (17 min ago)
<b>Schedule:</b> */15 * * * * as postgres
<b>Owner:</b> dana@acme.com
<b>Criticality:</b> critical
<b>Last 10 runs:</b> 🟩🟩🟩🟩🟩🟩🟩🟩🟩🟥

<pre>ERROR:  division by zero
CONTEXT:  PL/pgSQL function sync_leads() line 3</pre>

<a href="https://wiki.acme.com/sync">Runbook</a> · <a href="https://supabase.com/dashboard/project/abcdefghijklmnopqrst/integrations/cron/jobs">Dashboard</a>

<i>incident 6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11 · as of 2026-11-21 12:47:12 UTC · Supabase Job Monitor</i>`,
  );
});

Deno.test("a Telegram alert shows no link previews", () => {
  assert.deepEqual(RENDERED.body.link_preview_options, { is_disabled: true });
  assert.equal(RENDERED.body.parse_mode, "HTML");
});

Deno.test("nothing in a Telegram alert acts as markup or mention", () => {
  const { visible } = parseTelegramHtml(
    htmlOf(message({ title: "a </b> & <x>", cause: "@durov <script> &lt; a@b.co" })),
  );
  assert.equal(visible, "🟠 a </b> & <x>\n@\u2060durov <script> &lt; a@b.co\n\nincident 1");
});

for (const [what, text] of Object.entries(HOSTILE)) {
  Deno.test(`a Telegram alert keeps all limits with ${what} in every place`, () => {
    const fields = Array.from({ length: 40 }, () => ({ label: text, value: text, at: NOW }));
    const links = Array.from({ length: 9 }, () => ({ label: text, url: 'https://wiki.acme.com/?a=1&b="<>' }));
    const hostile = {
      title: text,
      cause: text,
      fields,
      excerpt: text,
      strip: "🟩".repeat(10),
      links,
      footer: text,
    };
    const { visible } = parseTelegramHtml(htmlOf(message(hostile)));
    assert.ok(visible.length <= 4096, `${visible.length} characters`);
    assert.ok(visible.isWellFormed());
  });
}

Deno.test("a Telegram alert says how much it left out", () => {
  const fields = Array.from(
    { length: 40 },
    (_, index) => ({ label: `fact ${index}`, value: "x".repeat(900) }),
  );
  const html = htmlOf(message({ fields, excerpt: "e".repeat(5_000) }));
  assert.match(html, /e… 4,\d{3} more characters<\/pre>/);
  const facts = html.match(/<b>fact/g)?.length ?? 0;
  assert.ok(html.includes(`… ${40 - facts} more facts`));
});

Deno.test("a Telegram request names bot and chat, and sends the same bytes each time", async () => {
  const request = await telegram.request(RENDERED, TARGET, OPTIONS);
  assert.equal(request.url, `https://api.telegram.org/bot${BOT_TOKEN}/sendMessage`);
  assert.deepEqual(JSON.parse(request.body), { chat_id: TARGET.chatId, ...RENDERED.body });
  assert.equal((await telegram.request(RENDERED, TARGET, OPTIONS)).body, request.body);
  assert.ok(!JSON.stringify(RENDERED).includes(BOT_TOKEN), "what is stored holds no secret");
});

Deno.test("a Telegram row may name a topic", async () => {
  const target = telegram.target.parse({ ...TARGET, threadId: "7" });
  const request = await telegram.request(RENDERED, target, OPTIONS);
  assert.equal(JSON.parse(request.body).message_thread_id, 7);
  assert.ok(!telegram.target.safeParse({ ...TARGET, threadId: "general" }).success);
});

Deno.test("a Telegram target is a bot's token and a chat", () => {
  assert.ok(telegram.target.safeParse(TARGET).success);
  assert.ok(telegram.target.safeParse({ ...TARGET, chatId: "@alerts" }).success);
  assert.ok(!telegram.target.safeParse({ ...TARGET, chatId: "alerts" }).success);
  assert.ok(!telegram.target.safeParse({ ...TARGET, botToken: "https://x" }).success);
  assert.ok(!telegram.target.safeParse({ chatId: "1" }).success);
});

Deno.test("a Telegram message is sent when Telegram says ok, and its id kept", () => {
  const outcome = telegram.outcome(response(200, { ok: true, result: { message_id: 7 } }), RENDERED);
  assert.deepEqual(outcome, { kind: "sent", providerId: "7" });
  assert.equal(telegram.outcome(response(200, null), RENDERED).kind, "retry");
});

Deno.test("markup that Telegram cannot parse is sent once more as plain text", () => {
  const answer = refusal(
    400,
    'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 3',
  );
  const outcome = telegram.outcome(answer, RENDERED);
  assert.equal(outcome.kind, "resend");
  if (outcome.kind !== "resend") return;
  assert.equal(outcome.rendered.body.parse_mode, undefined);
  assert.equal(outcome.rendered.body.text, RENDERED.plain);
  assert.match(outcome.note, /sent as plain text/);
  assert.equal(telegram.outcome(answer, outcome.rendered).kind, "permanent", "but not a second time");
});

Deno.test("a plain text that is too long is cut", () => {
  const rendered = telegram.render(
    message({ fields: Array.from({ length: 90 }, () => ({ label: "x", value: "y".repeat(300) })) }),
  );
  const outcome = telegram.outcome(refusal(400, "Bad Request: can't parse entities: x"), rendered);
  assert.ok(outcome.kind === "resend" && String(outcome.rendered.body.text).length <= 4096);
});

Deno.test("a group that became a supergroup gets the message at its new id, and a person is told", async () => {
  const answer = refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", {
    migrate_to_chat_id: -1009,
  });
  const outcome = telegram.outcome(answer, RENDERED);
  assert.equal(outcome.kind, "resend");
  if (outcome.kind !== "resend") return;
  assert.equal(outcome.note, "The group has become a supergroup: set chat_id to -1009 in alert_config");
  const request = await telegram.request(outcome.rendered, TARGET, OPTIONS);
  assert.equal(JSON.parse(request.body).chat_id, -1009);
  assert.equal(telegram.outcome(answer, outcome.rendered).kind, "permanent", "but not a second time");
});

Deno.test("a Telegram 429 is tried again when Telegram says", () => {
  assert.deepEqual(
    telegram.outcome(refusal(429, "Too Many Requests: retry after 17", { retry_after: 17 }), RENDERED),
    {
      kind: "retry",
      error: "Telegram answered 429: Too Many Requests: retry after 17",
      retryAfterMs: 17_000,
      throttled: true,
    },
  );
});

Deno.test("a bot that is blocked, unknown, or in no such chat is permanent, with Telegram's reason", () => {
  const refusals: [number, string][] = [
    [401, "Unauthorized"],
    [403, "Forbidden: bot was kicked from the supergroup chat"],
    [400, "Bad Request: chat not found"],
    [400, "Bad Request: message is too long"],
  ];
  for (const [status, description] of refusals) {
    assert.deepEqual(telegram.outcome(refusal(status, description), RENDERED), {
      kind: "permanent",
      about: description.endsWith("too long") ? "message" : "target",
      error: `Telegram answered ${status}: ${description}`,
    });
  }
});

Deno.test("a Telegram that is down, slow or out of reach is tried again", () => {
  for (const answer of [response(502, null), { kind: "network" }, { kind: "timeout" }] as const) {
    const outcome = telegram.outcome(answer, RENDERED);
    assert.ok(outcome.kind === "retry" && !outcome.throttled);
  }
});
