/** Every channel of the registry against its strict fake: whatever a message holds is delivered, and harmless. */
import assert from "node:assert/strict";
import type { OutgoingRequest, VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { deliver } from "../../supabase/functions/_shared/channels/deliver.ts";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import type {
  ChannelName,
  DeliveryEvent,
  Message,
  RenderedMessage,
} from "../../supabase/functions/_shared/domain/delivery.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import { type ScriptedAnswer, type Sink, startSink } from "../fakes/sink.ts";
import { alertJob, HOSTILE, incident, message, NOW, recentRuns } from "../support/alerts.ts";

const names = Object.keys(channels) as ChannelName[];

/** Where a channel sends to in these tests, and which parts of that nobody else may see. */
function targetOf(name: ChannelName, sink: Sink): { target: unknown; apiUrl: string; secrets: string[] } {
  const target = sink.targets[name];
  // the whole address of a webhook that signs is told to whom it belongs
  const path = name === "webhook" ? undefined : target.webhookUrl?.split("/").at(-1);
  const secrets = [path, target.botToken, target.apiKey].filter((secret) => secret !== undefined);
  return { target, apiUrl: channels[name].api === null ? "" : sink.url, secrets };
}

/** What an SMS has no room for, or no letters. */
const SMS: Partial<Record<ChannelName, true>> = { twilio: true };
/** Channels that take any success for a success, as their standard says. */
const ANY_SUCCESS: Partial<Record<ChannelName, true>> = { webhook: true };

/** A sink whose clock runs a minute a request, so that nothing is throttled. */
async function withSink(test: (sink: Sink) => Promise<void>, now?: () => number): Promise<void> {
  let minutes = 0;
  const sink = await startSink({ now: now ?? (() => NOW.getTime() + 60_000 * minutes++) });
  try {
    await test(sink);
  } finally {
    await sink.close();
  }
}

async function requestFor(
  name: ChannelName,
  rendered: RenderedMessage,
  sink: Sink,
  { deliveryId = crypto.randomUUID(), now = new Date() }: { deliveryId?: string; now?: Date } = {},
): Promise<OutgoingRequest> {
  const channel = channels[name];
  const { target, apiUrl } = targetOf(name, sink);
  const parsed = channel.target.parse(target);
  const [part] = channel.parts?.(rendered, parsed) ?? [];
  return await channel.request(rendered, parsed, {
    deliveryId,
    apiUrl,
    now,
    ...part === undefined ? {} : { part: part.id },
  });
}

async function post(
  name: ChannelName,
  rendered: RenderedMessage,
  sink: Sink,
  { timeoutMs = 5_000, request }: { timeoutMs?: number; request?: OutgoingRequest } = {},
): Promise<VendorAnswer> {
  return await deliver(request ?? await requestFor(name, rendered, sink), {
    allowedHosts: [new URL(sink.url).host],
    secrets: targetOf(name, sink).secrets,
    timeoutMs,
  });
}

/** A message with the text wherever text can stand. */
function everywhere(text: string): Message {
  const fields = Array.from({ length: 30 }, () => ({ label: text, value: text, at: NOW }));
  const links = [{ label: text, url: 'https://wiki.acme.com/a?b=(c)&d="<e>' }];
  return message({ title: text, cause: text, fields, excerpt: text, strip: "🟩🟥", links, footer: text });
}

/** The same through the incident of a job that is called so. */
function throughIncident(text: string, event: DeliveryEvent): Message {
  const job = alertJob({
    jobName: text,
    jobUser: text,
    schedule: text,
    description: text,
    successCriteria: text,
    owner: text,
  });
  const detail = { errorMessage: text, cause: text, recentRuns: recentRuns("sf") };
  return composeMessage({
    event,
    incidents: [incident({ projectName: text, summary: text, detail, job, resolvedAt: NOW.toISOString() })],
    now: NOW,
    note: text,
  });
}

/** A list of jobs and projects that are called so; of 100 kB each they would be megabytes. */
function throughMany(name: string): Message {
  const text = name.slice(0, 2_000);
  const incidents = Array.from({ length: 60 }, (_, index) =>
    incident({
      id: crypto.randomUUID(),
      projectName: index % 2 === 0 ? text : `${index}${text}`,
      summary: text,
      job: alertJob({ jobName: `${text}${index}`, owner: text }),
    }));
  return composeMessage({ event: "reminder", incidents, now: NOW, note: text });
}

const EVENTS = ["opened", "reminder", "resolved"] as const;

for (const name of names) {
  const channel = channels[name];

  for (const [what, text] of Object.entries(HOSTILE)) {
    Deno.test(`${name} takes ${what} in every place`, () =>
      withSink(async (sink) => {
        const all = [
          everywhere(text),
          ...EVENTS.map((event) => throughIncident(text, event)),
          throughMany(text),
        ];
        for (const hostile of all) {
          const rendered = channel.render(hostile);
          assert.deepEqual(JSON.parse(JSON.stringify(rendered)), rendered, "what is stored is what is sent");
          assert.ok(!/\\u0000|\\ud[89a-f]/i.test(JSON.stringify(rendered)), "Postgres can store it");
          const outcome = channel.outcome(await post(name, rendered, sink), rendered);
          assert.equal(outcome.kind, "sent", "error" in outcome ? outcome.error : undefined);
        }
        assert.deepEqual(sink.deliveries().map(({ accepted }) => accepted), all.map(() => true));
        for (const { text } of sink.deliveries()) assert.doesNotMatch(text ?? "", /\[(calls|links|emoji)/);
      }));
  }

  Deno.test(`${name} shows hostile text as it was written`, () =>
    withSink(async (sink) => {
      const text = "**a** _b_ `c` <b>d</b> &amp; [e](https://x.co) <t:0:F> <!channel> # f";
      await post(name, channel.render(message({ cause: text })), sink);
      const shown = SMS[name] ? text.replaceAll("`", "'") : text;
      assert.ok(sink.deliveries()[0]?.text?.includes(shown), sink.deliveries()[0]?.text ?? "");
    }));

  Deno.test(`${name} tells everything of an alert`, () =>
    withSink(async (sink) => {
      await post(
        name,
        channel.render(composeMessage({ event: "opened", incidents: [incident()], now: NOW })),
        sink,
      );
      const text = sink.deliveries()[0]?.text ?? "";
      const short = [
        "FAILED: sync_leads in smoothed - critical",
        "The last run failed: ERROR: division by zero.",
        "#6f1d9c1e",
      ];
      for (
        const part of SMS[name] ? short : [
          "FAILED: sync_leads in smoothed · critical",
          "The last run failed: ERROR: division by zero.",
          "2026-11-21 12:45 UTC",
          "CONTEXT:  PL/pgSQL function sync_leads() line 3",
          "🟩🟩🟩🟩🟩🟩🟩🟩🟩🟥",
          "dana@acme.com",
          "leads.updated_at moves",
          "https://wiki.acme.com/sync",
          "https://supabase.com/dashboard/project/abcdefghijklmnopqrst/integrations/cron/jobs",
          "6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11",
        ]
      ) assert.ok(text.includes(part), `${part} is missing in:\n${text}`);
    }));

  Deno.test(`${name} sends the same bytes again`, () =>
    withSink(async (sink) => {
      const rendered = channel.render(everywhere("x"));
      const stored = JSON.parse(JSON.stringify(rendered));
      const attempt = { deliveryId: "1", now: NOW };
      const first = await requestFor(name, rendered, sink, attempt);
      assert.deepEqual(await requestFor(name, stored, sink, attempt), first);
    }));

  Deno.test(`${name} keeps its secrets out of what is stored and out of errors`, () =>
    withSink(async (sink) => {
      const { secrets } = targetOf(name, sink);
      const rendered = channel.render(message());
      const request = await requestFor(name, rendered, sink);
      const quoted = `${request.url} ${JSON.stringify(request.headers)} ${request.body.slice(0, 300)}`;
      const echo = { message: `refused ${quoted}`, ok: false, description: `refused ${quoted}` };
      sink.script(name, [{ status: 500, body: `<html>${quoted}` }, { status: 400, body: echo }, {
        destroy: true,
      }]);
      for (const kind of ["response", "response", "network"]) {
        const answer = await post(name, rendered, sink);
        assert.equal(answer.kind, kind);
        if (answer.kind === "response") {
          for (const secret of secrets) assert.ok(!answer.excerpt.includes(secret));
        }
      }
      for (const secret of secrets) assert.ok(!JSON.stringify(rendered).includes(secret));
    }));

  const faults: readonly [what: string, answer: ScriptedAnswer, kind: string][] = [
    ["HTML in place of JSON", { status: 200, body: "<html>ok</html>" }, "retry"],
    ["an empty success", { status: 200 }, "retry"],
    ["500", { status: 500, body: "oops" }, "retry"],
    ["503 with Retry-After", { status: 503, headers: { "retry-after": "7" } }, "retry"],
    ["429 without a body", { status: 429, headers: { "retry-after": "7" } }, "retry"],
    ["a cut connection", { destroy: true }, "retry"],
    ["an answer lost after the message was taken", { destroy: true, accept: true }, "retry"],
    ["a slow answer", { delayMs: 2_000 }, "retry"],
    ["a redirect", { status: 302, headers: { location: "http://127.0.0.1:1/" } }, "retry"],
    ["403", { status: 403, body: {} }, "permanent"],
    ["404", { status: 404, body: {} }, "permanent"],
    ["413 as HTML", { status: 413, body: "<html>" }, "permanent"],
  ];
  for (const [what, answer, usual] of faults) {
    const kind = ANY_SUCCESS[name] && answer.status === 200 ? "sent" : usual;
    Deno.test(`${name} makes "${kind}" of ${what}`, () =>
      withSink(async (sink) => {
        sink.script(name, [answer]);
        const rendered = channel.render(message());
        const outcome = channel.outcome(
          await post(name, rendered, sink, answer.delayMs ? { timeoutMs: 300 } : {}),
          rendered,
        );
        assert.equal(outcome.kind, kind, JSON.stringify(outcome));
        if (answer.headers?.["retry-after"]) {
          assert.ok(outcome.kind === "retry" && outcome.retryAfterMs === 7_000);
        }
      }));
  }
}

// --- the fakes refuse what the vendors refuse ---

/** A request to the sink past our own rendering. */
async function ask(
  sink: Sink,
  path: string,
  body: unknown,
): Promise<{ status: number; json: Record<string, unknown> | null }> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(`${sink.url}${path}`, { method: "POST", body: text });
  const answer = await response.text();
  return { status: response.status, json: answer === "" ? null : JSON.parse(answer) };
}

function webhookPath(sink: Sink): string {
  return `${new URL(sink.discordWebhookUrl).pathname}?wait=true`;
}

Deno.test("the fake Discord knows one webhook and its token", () =>
  withSink(async (sink) => {
    const unknown = await ask(sink, "/api/webhooks/42/x?wait=true", { content: "x" });
    assert.deepEqual([unknown.status, unknown.json?.code], [404, 10015]);
    const wrong = await ask(sink, `${webhookPath(sink).split("/").slice(0, 4).join("/")}/wrong`, {
      content: "x",
    });
    assert.deepEqual([wrong.status, wrong.json?.code], [401, 50027]);
  }));

Deno.test("the fake Discord answers with the message only where it is asked to wait", () =>
  withSink(async (sink) => {
    const waited = await ask(sink, webhookPath(sink), { content: "x" });
    assert.equal(waited.status, 200);
    assert.match(String(waited.json?.id), /^\d{19}$/);
    assert.equal(
      (await ask(sink, webhookPath(sink).replace("?wait=true", ""), { content: "x" })).status,
      204,
    );
  }));

const long = (length: number) => "x".repeat(length);
const embeds = (embed: unknown) => ({ embeds: [embed] });
const DISCORD_REFUSALS: readonly [what: string, body: unknown, code: number, path: string][] = [
  ["a body that is not JSON", "{", 50109, ""],
  ["an empty message", {}, 50006, ""],
  ["an embed without anything", embeds({ color: 1 }), 50006, ""],
  ["a long content", { content: long(2001) }, 50035, "content"],
  ["a long title", embeds({ title: long(257) }), 50035, "embeds.0.title"],
  ["a long description", embeds({ description: long(4097) }), 50035, "embeds.0.description"],
  [
    "a long field name",
    embeds({ fields: [{ name: long(257), value: "x" }] }),
    50035,
    "embeds.0.fields.0.name",
  ],
  [
    "a long field value",
    embeds({ fields: [{ name: "x", value: long(1025) }] }),
    50035,
    "embeds.0.fields.0.value",
  ],
  ["an empty field value", embeds({ fields: [{ name: "x", value: " " }] }), 50035, "embeds.0.fields.0.value"],
  ["26 fields", embeds({ fields: Array(26).fill({ name: "x", value: "y" }) }), 50035, "embeds.0.fields"],
  ["a long footer", embeds({ title: "x", footer: { text: long(2049) } }), 50035, "embeds.0.footer.text"],
  ["11 embeds", { embeds: Array(11).fill({ title: "x" }) }, 50035, "embeds"],
  [
    "6001 characters over all embeds",
    { embeds: [{ description: long(3001) }, { description: long(3000) }] },
    50035,
    "embeds",
  ],
  ["a colour out of range", embeds({ title: "x", color: 0x1000000 }), 50035, "embeds.0.color"],
  ["a URL that is none", embeds({ title: "x", url: "javascript:x" }), 50035, "embeds.0.url"],
  ["a timestamp that is none", embeds({ title: "x", timestamp: "yesterday" }), 50035, "embeds.0.timestamp"],
  [
    "an unknown kind of mention",
    { content: "x", allowed_mentions: { parse: ["all"] } },
    50035,
    "allowed_mentions.parse.0",
  ],
];

for (const [what, body, code, path] of DISCORD_REFUSALS) {
  Deno.test(`the fake Discord refuses ${what}`, () =>
    withSink(async (sink) => {
      const { status, json } = await ask(sink, webhookPath(sink), body);
      assert.deepEqual([status, json?.code], [400, code], JSON.stringify(json));
      if (code !== 50035) return;
      const node = path.split(".").reduce<Record<string, unknown>>(
        (at, key) => at[key] as Record<string, unknown>,
        json?.errors as Record<string, unknown>,
      );
      assert.ok(Array.isArray(node._errors), JSON.stringify(json));
      assert.equal(sink.deliveries()[0]?.accepted, false);
    }));
}

Deno.test("the fake Discord throttles the sixth message within two seconds, and says for how long", () => {
  let now = NOW.getTime();
  return withSink(async (sink) => {
    for (let index = 0; index < 5; index++) {
      assert.equal((await ask(sink, webhookPath(sink), { content: "x" })).status, 200);
      now += 100;
    }
    const rendered = channels.discord.render(message());
    const outcome = channels.discord.outcome(await post("discord", rendered, sink), rendered);
    assert.deepEqual(outcome, {
      kind: "retry",
      error: "Discord answered 429: You are being rate limited.",
      retryAfterMs: 2_000,
      throttled: true,
    });
    now += 1_600;
    assert.equal((await ask(sink, webhookPath(sink), { content: "x" })).status, 200);
  }, () => now);
});

const TELEGRAM_REFUSALS: readonly [what: string, body: Record<string, unknown>, description: string][] = [
  ["another chat", { chat_id: 1, text: "x" }, "Bad Request: chat not found"],
  ["no chat", { chat_id: undefined, text: "x" }, "Bad Request: chat_id is empty"],
  ["no text", {}, "Bad Request: message text is empty"],
  ["markup around nothing", { text: "<b> </b>", parse_mode: "HTML" }, "Bad Request: message text is empty"],
  ["a long text", { text: "x".repeat(4097) }, "Bad Request: message is too long"],
  ["a long text in UTF-16 units", { text: "😀".repeat(2049) }, "Bad Request: message is too long"],
  [
    "unknown tags",
    { text: "<p>x</p>", parse_mode: "HTML" },
    'Bad Request: can\'t parse entities: Unsupported start tag "p" at byte offset 0',
  ],
];

for (const [what, body, description] of TELEGRAM_REFUSALS) {
  Deno.test(`the fake Telegram refuses ${what}`, () =>
    withSink(async (sink) => {
      const path = `/bot${sink.telegramBotToken}/sendMessage`;
      const { status, json } = await ask(sink, path, { chat_id: sink.telegramChatId, ...body });
      assert.deepEqual([status, json], [400, { ok: false, error_code: 400, description }]);
    }));
}

Deno.test("the fake Telegram counts the text without its markup", () =>
  withSink(async (sink) => {
    const text = `<b>${"x".repeat(4095)}</b>&amp;`;
    const body = { chat_id: sink.telegramChatId, text, parse_mode: "HTML" };
    assert.equal((await ask(sink, `/bot${sink.telegramBotToken}/sendMessage`, body)).status, 200);
  }));

Deno.test("the fake Telegram knows one bot", () =>
  withSink(async (sink) => {
    const wrong = `/bot${sink.telegramBotToken.replace("local", "other")}/sendMessage`;
    assert.deepEqual((await ask(sink, wrong, {})).json, {
      ok: false,
      error_code: 401,
      description: "Unauthorized",
    });
    assert.equal((await ask(sink, "/botnonsense/sendMessage", {})).status, 404);
  }));

Deno.test("the sink lists what it received, as JSON and as a page without markup of others", () =>
  withSink(async (sink) => {
    const told: string[] = [];
    const rendered = channels.telegram.render(message({ cause: "<script>alert(1)</script>" }));
    await post("telegram", rendered, sink);
    const listed = await (await fetch(`${sink.url}/deliveries`)).json() as {
      channel: string;
      accepted: boolean;
      text: string;
    }[];
    told.push(...listed.map(({ channel, accepted }) => `${channel} ${accepted}`));
    assert.deepEqual(told, ["telegram true"]);
    assert.match(listed[0]?.text ?? "", /<script>alert\(1\)<\/script>/);
    const page = await (await fetch(sink.url)).text();
    assert.ok(page.includes("&lt;script&gt;") && !page.includes("<script>"));
  }));

Deno.test("the sink tells each request as it comes", async () => {
  const told: string[] = [];
  const sink = await startSink({ onDelivery: ({ channel, status }) => told.push(`${channel} ${status}`) });
  try {
    await post("discord", channels.discord.render(message()), sink);
    sink.script("discord", [{ status: 503 }]);
    await post("discord", channels.discord.render(message()), sink);
    assert.deepEqual(told, ["discord 200", "discord 503"]);
  } finally {
    await sink.close();
  }
});

Deno.test("the sink listens on loopback only", async () => {
  await assert.rejects(startSink({ hostname: "0.0.0.0" }), /loopback only/);
});
