/** Twilio's messages, requests and outcomes. */
import assert from "node:assert/strict";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { twilio } from "../../supabase/functions/_shared/channels/twilio.ts";
import type { Message } from "../../supabase/functions/_shared/domain/delivery.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import { segmentsOf } from "../fakes/twilio.ts";
import { alertJob, HOSTILE, incident, message, NOW } from "../support/alerts.ts";

const SID = `AC${"0".repeat(32)}`;
const SERVICE = `MG${"0".repeat(32)}`;
const WRITTEN = {
  account: SID,
  apiKey: "auth-token-0123456789",
  sender: "+15005550006",
  recipients: "+15551234567",
};
const TARGET = twilio.target.parse(WRITTEN);
const OPTIONS = { deliveryId: "1", apiUrl: "https://api.twilio.com", now: NOW };
const RENDERED = twilio.render(message());

function smsOf(message: Message): string {
  return String(twilio.render(message).body.Body);
}

function response(status: number, json: unknown): VendorAnswer {
  return { kind: "response", status, json, excerpt: "", retryAfterMs: null };
}

Deno.test("an SMS is the verdict, the cause and the incident's first letters", () => {
  assert.equal(
    smsOf(composeMessage({ event: "opened", incidents: [incident()], now: NOW })),
    "FAILED: sync_leads in smoothed - critical. The last run failed: ERROR: division by zero. #6f1d9c1e",
  );
  const resolved = { resolvedAt: "2026-11-21T12:58:00Z", resolution: "recovered" };
  assert.match(
    smsOf(composeMessage({ event: "resolved", incidents: [incident(resolved)], now: NOW })),
    /^RECOVERED: sync_leads in smoothed after 12 min\. All is well again\./,
  );
});

Deno.test("an SMS of several incidents names them where there is room, and else says where they stand", () => {
  const many = (count: number) =>
    smsOf(composeMessage({
      event: "opened",
      incidents: Array.from({ length: count }, (_, index) =>
        incident({
          severity: index === 0 ? "critical" : "important",
          subjectId: String(index),
          job: alertJob({ jobName: `sync_customer_${index}` }),
        })),
      now: NOW,
    }));
  assert.equal(
    many(2),
    "FAILED: 2 jobs in smoothed - 1 critical, 1 important. sync_customer_0, sync_customer_1 #6f1d9c1e",
  );
  assert.equal(
    many(20),
    "FAILED: 20 jobs in smoothed - 1 critical, 19 important. All of them: deno task monitor incidents. #6f1d9c1e",
  );
});

Deno.test("an SMS is ASCII that reads like what was written", () => {
  assert.equal(
    smsOf(message({ title: "Müller’s “Café” – 5 € … naïve", cause: "Straße `x` 日本 → ok · done" })),
    `Muller's "Cafe" - 5 EUR ... naive. Strasse 'x' ? -> ok - done`,
  );
});

for (const [what, text] of Object.entries(HOSTILE)) {
  Deno.test(`an SMS stays one SMS with ${what} in every place`, () => {
    const job = alertJob({ jobName: text, owner: text });
    const whole = incident({ projectName: text, summary: text, job });
    for (
      const one of [
        message({ title: text, cause: text }),
        composeMessage({ event: "opened", incidents: [whole], now: NOW }),
      ]
    ) {
      const sms = smsOf(one);
      assert.match(sms, /^[\x20-\x7e]+$/);
      assert.equal(segmentsOf(sms), 1, sms);
    }
  });
}

Deno.test("an SMS that is cut shows it, and keeps the incident's letters", () => {
  const sms = smsOf(
    message({ title: "x".repeat(500), cause: "y".repeat(500), incidentIds: [incident().id] }),
  );
  assert.match(sms, /^x{107}\.\.\. y{30,}\.\.\. #6f1d9c1e$/);
  assert.ok(sms.length <= 160);
});

Deno.test("a Twilio request is a form with number, sender and text, and basic credentials", async () => {
  const request = await twilio.request(RENDERED, TARGET, { ...OPTIONS, part: "+15551234567" });
  assert.equal(request.url, `https://api.twilio.com/2010-04-01/Accounts/${SID}/Messages.json`);
  assert.equal(request.headers["content-type"], "application/x-www-form-urlencoded");
  assert.equal(request.headers.authorization, `Basic ${btoa(`${SID}:auth-token-0123456789`)}`);
  assert.deepEqual(Object.fromEntries(new URLSearchParams(request.body)), {
    To: "+15551234567",
    From: "+15005550006",
    Body: RENDERED.body.Body,
  });
  const service = twilio.target.parse({ ...WRITTEN, sender: SERVICE });
  const form = new URLSearchParams((await twilio.request(RENDERED, service, OPTIONS)).body);
  assert.deepEqual([form.get("MessagingServiceSid"), form.get("From")], [SERVICE, null]);
});

Deno.test("a Twilio target is an account, a sender and up to ten numbers, each once", () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, index) => `+1555123456${index}`).join(", ");
  const { recipients } = twilio.target.parse({
    ...WRITTEN,
    recipients: "+1 (555) 123-4567; +15551234567,\n+4930123456,",
  });
  assert.deepEqual(recipients, ["+15551234567", "+4930123456"]);
  for (const sender of ["+15005550006", SERVICE, "ALERTS", "12345"]) {
    assert.ok(twilio.target.safeParse({ ...WRITTEN, sender }).success, sender);
  }
  const wrong = [
    { recipients: "555 1234" },
    { recipients: "" },
    { recipients: many(10) + ", +4930123456" },
    { account: "SK123" },
    { sender: "a name that is too long" },
    { apiKey: "" },
  ];
  for (const over of wrong) {
    assert.ok(!twilio.target.safeParse({ ...WRITTEN, ...over }).success, JSON.stringify(over));
  }
});

Deno.test("every recipient of an SMS is a part, named without most of its number", () => {
  const target = twilio.target.parse({ ...WRITTEN, recipients: "+15551234567, +15557654321" });
  assert.deepEqual(twilio.parts?.(RENDERED, target), [
    { id: "+15551234567", label: "the number ending in 4567" },
    { id: "+15557654321", label: "the number ending in 4321" },
  ]);
});

Deno.test("an SMS that Twilio has queued is sent, and its id kept", () => {
  assert.deepEqual(twilio.outcome(response(201, { sid: "SM1", status: "queued" }), RENDERED), {
    kind: "sent",
    providerId: "SM1",
  });
});

Deno.test("a refusal that is about one recipient leaves the others their chance", () => {
  for (const code of [21211, 21408, 21610, 21612, 21614]) {
    assert.deepEqual(twilio.outcome(response(400, { code, message: "why", status: 400 }), RENDERED), {
      kind: "permanent",
      about: "target",
      error: `Twilio answered 400: why (code ${code})`,
      partOnly: true,
    });
  }
});

Deno.test("a refusal that is about the account or the sender is permanent for all", () => {
  for (const [status, code] of [[401, 20003], [400, 21606]] as const) {
    assert.deepEqual(twilio.outcome(response(status, { code, message: "why" }), RENDERED), {
      kind: "permanent",
      about: "target",
      error: `Twilio answered ${status}: why (code ${code})`,
    });
  }
});

Deno.test("a Twilio that is busy or down is tried again as often as need be", () => {
  const busy = twilio.outcome(response(429, { code: 20429, message: "Too Many Requests" }), RENDERED);
  assert.ok(busy.kind === "retry" && busy.throttled && busy.unanswered === undefined);
  for (
    const answer of [response(500, null), response(503, null), { kind: "network", unsent: true }] as const
  ) {
    const outcome = twilio.outcome(answer, RENDERED);
    assert.ok(outcome.kind === "retry" && outcome.unanswered === undefined, JSON.stringify(outcome));
  }
});

Deno.test("an attempt that nobody answered is marked as such, since the SMS may be on its way", () => {
  const unanswered = [
    { kind: "timeout" },
    { kind: "network" },
    response(504, null),
    response(201, null),
  ] as const;
  for (const answer of unanswered) {
    const outcome = twilio.outcome(answer, RENDERED);
    assert.ok(outcome.kind === "retry" && outcome.unanswered === true, JSON.stringify(outcome));
  }
  assert.equal(twilio.unansweredLimit, 2, "at most one more attempt");
});
