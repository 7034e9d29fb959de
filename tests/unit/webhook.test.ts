/** Signed webhooks, with the standard's own library as oracle. */
import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { webhook } from "../../supabase/functions/_shared/channels/webhook.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import { HOSTILE, incident, message, NOW } from "../support/alerts.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const URL = "https://hooks.acme.com/alerts";
const TARGET = webhook.target.parse({ webhookUrl: URL, apiKey: SECRET });
const RENDERED = webhook.render(composeMessage({ event: "opened", incidents: [incident()], now: NOW }));

function options(now = new Date()) {
  return { deliveryId: "0a6c2f1e-1111-4111-8111-000000000001", apiUrl: "", now };
}

function response(status: number, retryAfterMs: number | null = null): VendorAnswer {
  return { kind: "response", status, json: null, excerpt: "", retryAfterMs };
}

Deno.test("the standard's own library verifies our signature", async () => {
  const { body, headers } = await webhook.request(RENDERED, TARGET, options());
  assert.deepEqual(new Webhook(SECRET).verify(body, headers), RENDERED.body);
  assert.throws(() => new Webhook(SECRET).verify(`${body} `, headers), /No matching signature/);
  assert.throws(() => new Webhook(OTHER_SECRET).verify(body, headers), /No matching signature/);
});

Deno.test("our signature is the library's, to the letter", async () => {
  const { body, headers } = await webhook.request(RENDERED, TARGET, options(NOW));
  assert.equal(headers["webhook-id"], "msg_0a6c2f1e-1111-4111-8111-000000000001");
  assert.equal(headers["webhook-timestamp"], String(Math.floor(NOW.getTime() / 1000)));
  assert.equal(
    headers["webhook-signature"],
    new Webhook(SECRET).sign(headers["webhook-id"] ?? "", NOW, body),
  );
});

Deno.test("while one secret replaces another, both sign", async () => {
  const target = webhook.target.parse({ webhookUrl: URL, apiKey: `${SECRET} ${OTHER_SECRET}` });
  const { body, headers } = await webhook.request(RENDERED, target, options());
  for (const secret of [SECRET, OTHER_SECRET]) new Webhook(secret).verify(body, headers);
});

Deno.test("the id is stable over retries, the time of signing is not", async () => {
  const first = await webhook.request(RENDERED, TARGET, options(NOW));
  const second = await webhook.request(RENDERED, TARGET, options(new Date(NOW.getTime() + 60_000)));
  assert.equal(second.body, first.body);
  assert.equal(second.headers["webhook-id"], first.headers["webhook-id"]);
  assert.notEqual(second.headers["webhook-signature"], first.headers["webhook-signature"]);
});

Deno.test("a payload has type, time and everything of the alert", () => {
  const { type, timestamp, data } = RENDERED.body as {
    type: string;
    timestamp: string;
    data: Record<string, unknown>;
  };
  assert.deepEqual([type, timestamp], ["alert.opened", "2026-11-21T12:47:12.000Z"]);
  const { fields, links, excerpt, footer, ...others } = data;
  assert.deepEqual(others, {
    event: "opened",
    severity: "critical",
    title: "FAILED: sync_leads in smoothed · critical",
    cause: "The last run failed: ERROR: division by zero.",
    project: "smoothed",
    subject: "sync_leads",
    code: "failed",
    incidents: 1,
    incident_ids: ["6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11"],
    strip: "🟩🟩🟩🟩🟩🟩🟩🟩🟩🟥",
    fields_left_out: 0,
  });
  assert.match(
    JSON.stringify([fields, links, excerpt, footer]),
    /dana@acme.com.*wiki\.acme\.com.*CONTEXT.*incident/,
  );
});

for (const [what, text] of Object.entries(HOSTILE)) {
  Deno.test(`a payload stays within 20 kB with ${what} in every place`, () => {
    const fields = Array.from({ length: 90 }, () => ({ label: text, value: text, at: NOW }));
    const about = { project: text, subject: text, code: text };
    const links = Array.from({ length: 9 }, () => ({ label: text, url: "https://wiki.acme.com" }));
    const incidentIds = Array.from({ length: 500 }, () => crypto.randomUUID());
    const { body } = webhook.render(
      message({ title: text, cause: text, fields, about, excerpt: text, links, footer: text, incidentIds }),
    );
    const json = JSON.stringify(body);
    const size = new TextEncoder().encode(json).length;
    assert.ok(size <= 20_000 && json.isWellFormed(), `${size} bytes`);
    const { incidents, fields: kept, fields_left_out: left } = body.data as {
      incidents: number;
      fields: unknown[];
      fields_left_out: number;
    };
    assert.deepEqual([incidents, kept.length + left], [500, 90]);
  });
}

Deno.test("a webhook target is an address and secrets of the standard's form", () => {
  assert.deepEqual(TARGET.apiKey, [SECRET]);
  for (const apiKey of ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%%", undefined]) {
    assert.ok(!webhook.target.safeParse({ webhookUrl: URL, apiKey }).success, String(apiKey));
  }
  for (const webhookUrl of ["", "nonsense", "ftp://x", undefined]) {
    assert.ok(!webhook.target.safeParse({ webhookUrl, apiKey: SECRET }).success, String(webhookUrl));
  }
});

Deno.test("every success of a webhook is one", () => {
  for (const status of [200, 201, 202, 204]) {
    assert.deepEqual(webhook.outcome(response(status), RENDERED), { kind: "sent", providerId: null });
  }
});

Deno.test("a webhook that is gone is permanent, and says that its row should go too", () => {
  assert.deepEqual(webhook.outcome(response(410), RENDERED), {
    kind: "permanent",
    about: "target",
    error: "The webhook answered 410: the endpoint is gone for good; disable its row of alert_config",
  });
  for (const status of [400, 401, 403, 404, 413]) {
    assert.equal(webhook.outcome(response(status), RENDERED).kind, "permanent");
  }
});

Deno.test("a webhook that is busy, down or out of reach is tried again, no sooner than it says", () => {
  const busy = webhook.outcome(response(429, 9_000), RENDERED);
  assert.ok(busy.kind === "retry" && busy.throttled && busy.retryAfterMs === 9_000);
  for (const answer of [response(500), response(503), { kind: "network" }, { kind: "timeout" }] as const) {
    assert.equal(webhook.outcome(answer, RENDERED).kind, "retry");
  }
});
