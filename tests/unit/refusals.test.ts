/** What a vendor refuses for good is either about the target, and then nothing gets through, or about one message. */
import assert from "node:assert/strict";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import type { ChannelName, RefusalSubject } from "../../supabase/functions/_shared/domain/delivery.ts";
import { message } from "../support/alerts.ts";

function answer(status: number, body: unknown): VendorAnswer {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const json = typeof body === "string" ? null : body;
  return { kind: "response", status, json, excerpt: text, retryAfterMs: null };
}

function about(channel: ChannelName, status: number, body: unknown): RefusalSubject | string {
  const outcome = channels[channel].outcome(answer(status, body), channels[channel].render(message()));
  return outcome.kind === "permanent" ? outcome.about : outcome.kind;
}

const ROUTING_KEY = { message: "Event object is invalid", errors: ["'routing_key' is missing or invalid"] };
const LONG_SUMMARY = { message: "Event object is invalid", errors: ["'payload.summary' is too long"] };

const REFUSALS: readonly [ChannelName, number, unknown, RefusalSubject][] = [
  ["discord", 404, { message: "Unknown Webhook", code: 10015 }, "target"],
  ["discord", 401, { message: "Invalid Webhook Token", code: 50027 }, "target"],
  ["discord", 400, { message: "Thread is archived", code: 50083 }, "target"],
  [
    "discord",
    400,
    { message: "Webhooks posted to forum channels must have a thread_name", code: 220001 },
    "target",
  ],
  ["discord", 400, { message: "Invalid Form Body", code: 50035 }, "message"],
  ["discord", 413, "<html>", "message"],
  ["telegram", 401, { ok: false, description: "Unauthorized" }, "target"],
  ["telegram", 403, { ok: false, description: "Forbidden: bot was blocked by the user" }, "target"],
  ["telegram", 400, { ok: false, description: "Bad Request: chat not found" }, "target"],
  ["telegram", 400, { ok: false, description: "Bad Request: message thread not found" }, "target"],
  ["telegram", 400, { ok: false, description: "Bad Request: TOPIC_CLOSED" }, "target"],
  ["telegram", 400, { ok: false, description: "Bad Request: CHAT_WRITE_FORBIDDEN" }, "target"],
  [
    "telegram",
    400,
    { ok: false, description: "Bad Request: not enough rights to send text messages to the chat" },
    "target",
  ],
  ["telegram", 400, { ok: false, description: "Bad Request: message is too long" }, "message"],
  ["telegram", 400, { ok: false, description: "Bad Request: message text is empty" }, "message"],
  ["slack", 404, "no_service", "target"],
  ["slack", 410, "channel_is_archived", "target"],
  ["slack", 400, "user_not_found", "target"],
  ["slack", 400, "invalid_blocks", "message"],
  ["resend", 401, { name: "missing_api_key", message: "Missing API key" }, "target"],
  ["resend", 403, { name: "validation_error", message: "The acme.com domain is not verified" }, "target"],
  ["resend", 422, { name: "invalid_from_address", message: "Invalid from address" }, "target"],
  ["resend", 422, { name: "validation_error", message: "Invalid `to` field" }, "target"],
  ["resend", 422, { name: "validation_error", message: "Invalid `subject` field" }, "message"],
  ["postmark", 401, { ErrorCode: 10, Message: "Bad or missing API token" }, "target"],
  ["postmark", 422, { ErrorCode: 400, Message: "Sender Signature not found" }, "target"],
  ["postmark", 422, { ErrorCode: 412, Message: "Account is pending" }, "target"],
  ["postmark", 422, { ErrorCode: 300, Message: "Invalid 'To' address: 'x'" }, "target"],
  ["postmark", 422, { ErrorCode: 300, Message: "Provide either TextBody or HtmlBody" }, "message"],
  ["postmark", 422, { ErrorCode: 402, Message: "Invalid JSON" }, "message"],
  ["twilio", 401, { code: 20003, message: "Authenticate" }, "target"],
  ["twilio", 400, { code: 21606, message: "From is not valid" }, "target"],
  ["twilio", 400, { code: 21617, message: "The concatenated message body exceeds 1600" }, "message"],
  ["pagerduty", 400, ROUTING_KEY, "target"],
  ["pagerduty", 400, LONG_SUMMARY, "message"],
  ["webhook", 410, "", "target"],
  ["webhook", 401, "", "target"],
  ["webhook", 422, "", "message"],
];

Deno.test("a refusal is about the target or about the message, by what the vendor says", () => {
  for (const [channel, status, body, expected] of REFUSALS) {
    assert.equal(about(channel, status, body), expected, `${channel} ${status} ${JSON.stringify(body)}`);
  }
});
