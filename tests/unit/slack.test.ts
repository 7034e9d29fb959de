/** Slack's messages, requests and outcomes. */
import assert from "node:assert/strict";
import type { ActionsBlock, ContextBlock, HeaderBlock, KnownBlock, SectionBlock } from "@slack/types";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { slack } from "../../supabase/functions/_shared/channels/slack.ts";
import type { Message } from "../../supabase/functions/_shared/domain/delivery.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import { HOSTILE, incident, message, NOW } from "../support/alerts.ts";

const WEBHOOK = "https://hooks.slack.com/services/T0000000/B0000000/abcdefghijklmnopqrstuvwx";
const OPTIONS = { deliveryId: "1", apiUrl: "", now: NOW };
const RENDERED = slack.render(message());

/** The vendor's own types say what a block is. */
function bodyOf(message: Message): { text: string; blocks: KnownBlock[] } {
  return slack.render(message).body as { text: string; blocks: KnownBlock[] };
}

function response(status: number, excerpt: string, retryAfterMs: number | null = null): VendorAnswer {
  return { kind: "response", status, json: null, excerpt, retryAfterMs };
}

Deno.test("a Slack alert has the verdict as header, cause, facts, strip, error, buttons and the id", () => {
  const { text, blocks } = bodyOf(composeMessage({ event: "opened", incidents: [incident()], now: NOW }));
  assert.equal(
    text,
    "🔴 FAILED: sync_leads in smoothed · critical\nThe last run failed: ERROR: division by zero.",
  );
  const [header, cause] = blocks as [HeaderBlock, SectionBlock];
  assert.deepEqual(header, {
    type: "header",
    text: { type: "plain_text", text: "🔴 FAILED: sync_leads in smoothed · critical", emoji: false },
  });
  assert.equal(cause.text?.text, "The last run failed: ERROR: division by zero.");
  const fields = (blocks as SectionBlock[]).flatMap((block) => block.fields ?? []).map(({ text }) => text);
  assert.ok(fields.includes("Owner\ndana@acme.com"));
  const sections = (blocks as SectionBlock[]).flatMap((block) => block.text?.text ?? []);
  assert.ok(sections.includes("Last 10 runs: 🟩🟩🟩🟩🟩🟩🟩🟩🟩🟥"));
  assert.ok(sections.some((text) => text.startsWith("ERROR:  division by zero\nCONTEXT:")));
  assert.match(JSON.stringify(blocks.at(-1)), /incident 6f1d9c1e/);
});

Deno.test("a Slack alert has a button a link, with the link's address", () => {
  const links = [
    { label: "Runbook", url: "https://wiki.acme.com/sync" },
    { label: "not https", url: "http://wiki.acme.com" },
    { label: "no link", url: "javascript:alert(1)" },
  ];
  const { blocks } = bodyOf(message({ links }));
  const actions = blocks.find((block) => block.type === "actions") as ActionsBlock;
  assert.deepEqual(actions.elements, [{
    type: "button",
    action_id: "link_0",
    text: { type: "plain_text", text: "Runbook", emoji: false },
    url: "https://wiki.acme.com/sync",
  }]);
});

Deno.test("a Slack alert shows times also in the reader's zone, in the only markup that it has", () => {
  const at = new Date("2026-11-21T12:45:00Z");
  const fields = [
    { label: "Expected", value: "12:45", at },
    { label: "*<!channel>*", value: "x", at },
  ];
  const { blocks } = bodyOf(message({ fields }));
  const marked = blocks.filter((block) => JSON.stringify(block).includes("mrkdwn")) as ContextBlock[];
  assert.equal(marked.length, 1);
  assert.deepEqual(marked[0]?.elements, [{
    type: "mrkdwn",
    text:
      "In your time zone: Expected <!date^1795265100^{date_short_pretty} {time_secs}|2026-11-21 12:45 UTC> · " +
      "channel <!date^1795265100^{date_short_pretty} {time_secs}|2026-11-21 12:45 UTC>",
  }]);
});

Deno.test("nothing that others wrote acts as markup, mention or emoji in Slack", () => {
  const { text, blocks } = bodyOf(
    message({ title: "<!channel> & :tada:", cause: "<@U123> *x* <https://evil|y>" }),
  );
  assert.equal(text, "🟠 &lt;!channel&gt; &amp; :tada:\n&lt;@U123&gt; *x* &lt;https://evil|y&gt;");
  for (const block of blocks) assert.doesNotMatch(JSON.stringify(block), /mrkdwn|<|"emoji":true/);
});

for (const [what, text] of Object.entries(HOSTILE)) {
  Deno.test(`a Slack alert keeps all limits with ${what} in every place`, () => {
    const fields = Array.from({ length: 40 }, () => ({ label: text, value: text, at: NOW }));
    const links = Array.from({ length: 9 }, () => ({ label: text, url: `https://x.co/${"y".repeat(900)}` }));
    const strip = "🟩".repeat(10);
    const { body } = slack.render(
      message({ title: text, cause: text, fields, excerpt: text, strip, links, footer: text }),
    );
    const json = JSON.stringify(body);
    assert.ok(json.length <= 10_000, `${json.length} characters`);
    assert.ok(json.isWellFormed() && !json.includes("\\u0000"));
    assert.ok((body.blocks as unknown[]).length <= 50);
  });
}

Deno.test("a Slack alert says how much it left out", () => {
  const fields = Array.from(
    { length: 40 },
    (_, index) => ({ label: `fact ${index}`, value: "x".repeat(900) }),
  );
  const json = JSON.stringify(bodyOf(message({ fields, excerpt: "e".repeat(5_000) })));
  const shown = json.match(/"fact \d+\\n/g)?.length ?? 0;
  assert.ok(shown > 3 && json.includes(`… ${40 - shown} more facts`), json);
  assert.match(json, /e… 3,\d{3} more characters/);
});

Deno.test("a Slack request is the stored bytes, to the webhook alone", async () => {
  const request = await slack.request(RENDERED, { webhookUrl: WEBHOOK }, OPTIONS);
  assert.deepEqual(request, {
    url: WEBHOOK,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(RENDERED.body),
  });
});

Deno.test("a Slack target must be an incoming webhook's URL", () => {
  assert.ok(slack.target.safeParse({ webhookUrl: WEBHOOK }).success);
  for (
    const webhookUrl of ["", "https://hooks.slack.com/", "https://slack.com/api/chat.postMessage", undefined]
  ) {
    assert.ok(!slack.target.safeParse({ webhookUrl }).success, String(webhookUrl));
  }
});

Deno.test("a Slack message is sent when Slack answers 200 and ok, and not otherwise", () => {
  assert.deepEqual(slack.outcome(response(200, "ok"), RENDERED), { kind: "sent", providerId: null });
  assert.equal(slack.outcome(response(200, "<html>ok</html>"), RENDERED).kind, "retry");
  assert.equal(slack.outcome(response(200, ""), RENDERED).kind, "retry");
});

Deno.test("what Slack will never take is permanent, with Slack's reason", () => {
  for (
    const [status, reason] of [[400, "invalid_payload"], [403, "action_prohibited"], [
      404,
      "channel_not_found",
    ], [
      404,
      "no_service",
    ], [410, "channel_is_archived"]] as const
  ) {
    assert.deepEqual(slack.outcome(response(status, reason), RENDERED), {
      kind: "permanent",
      about: status === 400 ? "message" : "target",
      error: `Slack answered ${status}: ${reason}`,
    });
  }
});

Deno.test("a Slack that is busy, down or out of reach is tried again, no sooner than it says", () => {
  assert.deepEqual(slack.outcome(response(429, "rate_limited", 3_000), RENDERED), {
    kind: "retry",
    error: "Slack answered 429: rate_limited",
    retryAfterMs: 3_000,
    throttled: true,
  });
  for (const answer of [response(503, ""), { kind: "network" }, { kind: "timeout" }] as const) {
    assert.equal(slack.outcome(answer, RENDERED).kind, "retry");
  }
});
