/** Discord's messages, requests and outcomes. */
import assert from "node:assert/strict";
import { discord } from "../../supabase/functions/_shared/channels/discord.ts";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import type { Message } from "../../supabase/functions/_shared/domain/delivery.ts";
import { HOSTILE, incident, message, NOW } from "../support/alerts.ts";

interface Embed {
  title: string;
  url?: string;
  description: string;
  color: number;
  fields: { name: string; value: string; inline: boolean }[];
  footer?: { text: string };
  timestamp: string;
}

const WEBHOOK = "https://discord.com/api/webhooks/123456789012345678/abc_DEF-token";
const RENDERED = discord.render(message());

function embedOf(message: Message): Embed {
  const { embeds } = discord.render(message).body as { embeds: Embed[] };
  assert.equal(embeds.length, 1);
  return embeds[0] as Embed;
}

function field(embed: Embed, name: string): string | undefined {
  return embed.fields.find((one) => one.name === name)?.value;
}

function response(status: number, json: unknown, over: Partial<VendorAnswer> = {}): VendorAnswer {
  return { kind: "response", status, json, excerpt: "", retryAfterMs: null, ...over } as VendorAnswer;
}

Deno.test("a Discord alert is one embed: verdict as title, cause as description, colour by severity", () => {
  const embed = embedOf(composeMessage({ event: "opened", incidents: [incident()], now: NOW }));
  assert.equal(embed.title, "🔴 FAILED: sync\\_leads in smoothed · critical");
  assert.equal(embed.description, "The last run failed: ERROR: division by zero.");
  assert.equal(embed.color, 0xd92d20);
  assert.equal(
    embed.url,
    "https://supabase.com/dashboard/project/abcdefghijklmnopqrst/integrations/cron/jobs",
  );
  assert.equal(embed.timestamp, "2026-11-21T12:47:12.000Z");
});

Deno.test("colour and sign tell severities, recoveries and tests apart", () => {
  const titles = (["critical", "important", "low"] as const).map((severity) =>
    embedOf(message({ severity })).title[0]
  );
  assert.equal(new Set(titles).size, 1, "surrogates of the same block");
  const signs = [
    embedOf(message({ severity: "critical" })),
    embedOf(message({ severity: "important" })),
    embedOf(message({ severity: "low" })),
    embedOf(message({ severity: "critical", event: "resolved" })),
    embedOf(message({ event: "test" })),
  ];
  assert.deepEqual(signs.map(({ title }) => [...title][0]), ["🔴", "🟠", "🟡", "🟢", "🔵"]);
  assert.equal(new Set(signs.map(({ color }) => color)).size, 5);
});

Deno.test("a Discord alert shows times also in the reader's zone", () => {
  const embed = embedOf(
    message({
      fields: [{ label: "Expected", value: "2026-11-21 12:15 UTC", at: new Date(1_795_263_300_000) }],
    }),
  );
  assert.equal(field(embed, "Expected"), "2026-11-21 12:15 UTC\n<t:1795263300:F>");
});

Deno.test("a Discord alert has the error in a code block, the strip and the links", () => {
  const embed = embedOf(message({
    excerpt: "ERROR: *no*\n```escape```",
    strip: "🟩🟥",
    links: [{ label: "Runbook", url: "https://wiki.acme.com/a_(b)" }],
  }));
  assert.equal(field(embed, "Last 2 runs"), "🟩🟥");
  assert.equal(field(embed, "Last error"), "```\nERROR: *no*\n`\u200b`\u200b`escape`\u200b`\u200b`\n```");
  assert.equal(field(embed, "Links"), "[Runbook](https://wiki.acme.com/a_%28b%29)");
});

Deno.test("nothing in a Discord alert acts as markup, mention, timestamp or link", () => {
  const embed = embedOf(message({
    title: "FAILED: <@123> **x** in b",
    cause: "# big\n- [click](https://evil) <t:0:F> ||x|| `y` ~~z~~ > q \\",
  }));
  assert.equal(embed.title, "🟠 FAILED: \\<@123\\> \\*\\*x\\*\\* in b");
  assert.equal(
    embed.description,
    "\\# big\n\\- \\[click\\](https://evil) \\<t:0:F\\> \\|\\|x\\|\\| \\`y\\` \\~\\~z\\~\\~ \\> q \\\\",
  );
});

Deno.test("a Discord alert pings nobody", () => {
  for (const text of Object.values(HOSTILE)) {
    assert.deepEqual(discord.render(message({ title: text, cause: text })).body.allowed_mentions, {
      parse: [],
    });
  }
});

for (const [what, text] of Object.entries(HOSTILE)) {
  Deno.test(`a Discord alert keeps all limits with ${what} in every place`, () => {
    const fields = Array.from({ length: 40 }, () => ({ label: text, value: text, at: NOW }));
    const links = Array.from(
      { length: 9 },
      () => ({ label: text, url: `https://wiki.acme.com/${"x".repeat(300)}` }),
    );
    const hostile = {
      title: text,
      cause: text,
      fields,
      excerpt: text,
      strip: "🟩".repeat(10),
      links,
      footer: text,
    };
    const { title, description, fields: shown, footer = { text: "-" } } = embedOf(message(hostile));
    assert.ok(
      title.length <= 256 && description.length <= 4096 && footer.text !== "" && footer.text.length <= 2048,
    );
    assert.ok(shown.length <= 25);
    for (const { name, value } of shown) {
      assert.ok(name.trim() !== "" && name.length <= 256);
      assert.ok(value.trim() !== "" && value.length <= 1024);
    }
    const total = [title, description, footer.text, ...shown.flatMap(({ name, value }) => [name, value])]
      .join("");
    assert.ok(total.length <= 6000, `${total.length} characters`);
    assert.ok(total.isWellFormed());
  });
}

Deno.test("a Discord alert says how much it left out", () => {
  const fields = Array.from(
    { length: 40 },
    (_, index) => ({ label: `fact ${index}`, value: "x".repeat(900) }),
  );
  const embed = embedOf(message({ fields, excerpt: "e".repeat(5_000) }));
  assert.match(field(embed, "Last error") ?? "", /… 4,\d{3} more characters\n```$/);
  assert.match(field(embed, "fact 0") ?? "", /… \d+ more characters$/);
  const facts = embed.fields.filter(({ name }) => name.startsWith("fact")).length;
  assert.equal(field(embed, "…"), `${40 - facts} more facts`);
});

Deno.test("a Discord request waits for the saved message and keeps the thread", async () => {
  const options = { deliveryId: "1", apiUrl: "", now: NOW };
  const request = await discord.request(RENDERED, { webhookUrl: `${WEBHOOK}?thread_id=42` }, options);
  assert.equal(request.url, `${WEBHOOK}?thread_id=42&wait=true`);
  assert.equal(request.method, "POST");
  assert.deepEqual(JSON.parse(request.body), RENDERED.body);
  const again = await discord.request(RENDERED, { webhookUrl: WEBHOOK }, options);
  assert.equal(again.body, request.body, "the same bytes");
});

Deno.test("a Discord row may name a thread", async () => {
  const target = discord.target.parse({ webhookUrl: WEBHOOK, threadId: "42" });
  const { url } = await discord.request(RENDERED, target, { deliveryId: "1", apiUrl: "", now: NOW });
  assert.equal(url, `${WEBHOOK}?wait=true&thread_id=42`);
  assert.ok(!discord.target.safeParse({ webhookUrl: WEBHOOK, threadId: "general" }).success);
});

Deno.test("a Discord target must be a webhook's URL", () => {
  assert.ok(discord.target.safeParse({ webhookUrl: WEBHOOK }).success);
  assert.ok(discord.target.safeParse({ webhookUrl: WEBHOOK.replace("/api/", "/api/v10/") }).success);
  for (
    const webhookUrl of [
      "",
      "nonsense",
      "https://discord.com/channels/1/2",
      "ftp://discord.com/api/webhooks/1/x",
      undefined,
    ]
  ) {
    assert.ok(!discord.target.safeParse({ webhookUrl }).success, String(webhookUrl));
  }
});

Deno.test("a Discord message that is saved is sent, and its id kept", () => {
  assert.deepEqual(discord.outcome(response(200, { id: "99" }), RENDERED), {
    kind: "sent",
    providerId: "99",
  });
});

Deno.test("a Discord answer that does not show the message is tried again", () => {
  assert.equal(discord.outcome(response(204, null), RENDERED).kind, "retry");
  assert.equal(discord.outcome(response(200, null, { excerpt: "<html>" }), RENDERED).kind, "retry");
});

Deno.test("a Discord 429 is tried again when Discord says, and the target rests", () => {
  const outcome = discord.outcome(
    response(429, { message: "You are being rate limited.", retry_after: 1.337 }),
    RENDERED,
  );
  assert.deepEqual(outcome, {
    kind: "retry",
    error: "Discord answered 429: You are being rate limited.",
    retryAfterMs: 1337,
    throttled: true,
  });
  const banned = discord.outcome(
    response(429, null, { retryAfterMs: 60_000, excerpt: "error code: 1015" }),
    RENDERED,
  );
  assert.deepEqual(banned, {
    kind: "retry",
    error: "Discord answered 429: error code: 1015",
    retryAfterMs: 60_000,
    throttled: true,
  });
});

Deno.test("a Discord webhook that is unknown, refused or wrongly used is permanent, with Discord's reason", () => {
  assert.deepEqual(discord.outcome(response(404, { message: "Unknown Webhook", code: 10015 }), RENDERED), {
    kind: "permanent",
    about: "target",
    error: "Discord answered 404: Unknown Webhook (code 10015)",
  });
  assert.equal(
    discord.outcome(response(401, { message: "Invalid Webhook Token", code: 50027 }), RENDERED).kind,
    "permanent",
  );
  const errors = {
    embeds: {
      0: {
        title: { _errors: [{ code: "BASE_TYPE_MAX_LENGTH", message: "Must be 256 or fewer in length." }] },
      },
    },
  };
  const invalid = discord.outcome(
    response(400, { message: "Invalid Form Body", code: 50035, errors }),
    RENDERED,
  );
  assert.equal(invalid.kind, "permanent");
  assert.match("error" in invalid ? invalid.error : "", /code 50035.*title.*256 or fewer/);
});

Deno.test("a Discord that is down, slow or out of reach is tried again", () => {
  assert.deepEqual(discord.outcome(response(503, null, { excerpt: "upstream connect error" }), RENDERED), {
    kind: "retry",
    error: "Discord answered 503: upstream connect error",
    retryAfterMs: null,
    throttled: false,
  });
  for (
    const [kind, error] of [["network", "Discord could not be reached"], [
      "timeout",
      "Discord did not answer in time",
    ]] as const
  ) {
    assert.deepEqual(discord.outcome({ kind }, RENDERED), {
      kind: "retry",
      error,
      retryAfterMs: null,
      throttled: false,
    });
  }
});
