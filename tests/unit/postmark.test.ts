/** How Postmark takes mails; what they look like is in `resend.test.ts`. */
import assert from "node:assert/strict";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { postmark } from "../../supabase/functions/_shared/channels/postmark.ts";
import { message, NOW } from "../support/alerts.ts";

const WRITTEN = {
  apiKey: "POSTMARK_API_TEST",
  sender: "Alerts <alerts@acme.com>",
  recipients: "dana@acme.com, Ed <ed@acme.com>",
};
const TARGET = postmark.target.parse(WRITTEN);
const OPTIONS = { deliveryId: "1", apiUrl: "https://api.postmarkapp.com", now: NOW };
const RENDERED = postmark.render(message());

function answer(status: number, code: number, text = "why"): VendorAnswer {
  return {
    kind: "response",
    status,
    json: { ErrorCode: code, Message: text, MessageID: "m1" },
    excerpt: "",
    retryAfterMs: null,
  };
}

Deno.test("a Postmark request holds the addresses, subject, both bodies, the stream and the token", async () => {
  const request = await postmark.request(RENDERED, TARGET, OPTIONS);
  assert.equal(request.url, "https://api.postmarkapp.com/email");
  assert.equal(request.headers["x-postmark-server-token"], "POSTMARK_API_TEST");
  assert.equal(request.headers.accept, "application/json");
  const { From, To, Subject, TextBody, HtmlBody, MessageStream, ...others } = JSON.parse(request.body);
  assert.deepEqual([From, To, MessageStream, others], [
    "Alerts <alerts@acme.com>",
    "dana@acme.com, Ed <ed@acme.com>",
    "outbound",
    {},
  ]);
  assert.equal(Subject, "🟠 FAILED: a in b · important");
  assert.match(TextBody, /^FAILED: a in b/);
  assert.match(HtmlBody, /^<!doctype html>/);
});

Deno.test("a Postmark target may name its message stream", async () => {
  const target = postmark.target.parse({ ...WRITTEN, messageStream: "alerts-2" });
  assert.equal(
    JSON.parse((await postmark.request(RENDERED, target, OPTIONS)).body).MessageStream,
    "alerts-2",
  );
  assert.ok(!postmark.target.safeParse({ ...WRITTEN, messageStream: "a b" }).success);
});

Deno.test("a mail is sent when Postmark answers 200 and ErrorCode 0", () => {
  assert.deepEqual(postmark.outcome(answer(200, 0, "OK"), RENDERED), { kind: "sent", providerId: "m1" });
  assert.deepEqual(postmark.outcome(answer(200, 300), RENDERED), {
    kind: "permanent",
    about: "message",
    error: "Postmark refused: why (code 300)",
  });
  const html: VendorAnswer = {
    kind: "response",
    status: 200,
    json: null,
    excerpt: "<html>",
    retryAfterMs: null,
  };
  assert.equal(postmark.outcome(html, RENDERED).kind, "retry");
});

Deno.test("a mail that leaves out inactive recipients is sent, and a person is told of them", () => {
  const text = "Message OK, but will not deliver to these inactive addresses: ed@acme.com.";
  assert.deepEqual(postmark.outcome(answer(200, 0, text), RENDERED), {
    kind: "sent",
    providerId: "m1",
    note: `Postmark left somebody out: ${text}`,
  });
});

Deno.test("an inactive recipient is told loudly", () => {
  const outcome = postmark.outcome(answer(422, 406, "Found inactive addresses: dana@acme.com."), RENDERED);
  assert.deepEqual(outcome, {
    kind: "permanent",
    about: "target",
    error: "NOBODY GETS THESE MAILS: Postmark delivers to no inactive recipient. " +
      "Found inactive addresses: dana@acme.com. (code 406). " +
      "Reactivate the address in Postmark, or change recipients in alert_config",
  });
});

Deno.test("what Postmark refuses is permanent, with its reason and code", () => {
  for (
    const [status, code] of [[401, 10], [422, 300], [422, 400], [422, 401], [422, 405], [422, 412], [
      422,
      413,
    ]] as const
  ) {
    assert.deepEqual(postmark.outcome(answer(status, code), RENDERED), {
      kind: "permanent",
      about: code === 300 ? "message" : "target",
      error: `Postmark answered ${status}: why (code ${code})`,
    });
  }
});

Deno.test("a Postmark in maintenance, throttling, down or out of reach is tried again", () => {
  const maintenance = postmark.outcome(answer(422, 100), RENDERED);
  assert.ok(maintenance.kind === "retry" && !maintenance.throttled);
  for (const throttled of [answer(429, 429), answer(422, 429)]) {
    const outcome = postmark.outcome(throttled, RENDERED);
    assert.ok(outcome.kind === "retry" && outcome.throttled);
  }
  for (const down of [answer(503, 100), { kind: "network" }, { kind: "timeout" }] as const) {
    assert.equal(postmark.outcome(down, RENDERED).kind, "retry");
  }
});
