/** Mails, and how Resend takes them. */
import assert from "node:assert/strict";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { mailbox, mailboxes, renderMail } from "../../supabase/functions/_shared/channels/email.ts";
import { resend } from "../../supabase/functions/_shared/channels/resend.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import { readMailHtml } from "../fakes/mail_html.ts";
import { HOSTILE, incident, message, NOW } from "../support/alerts.ts";

const KEY = "re_12345678_abcdefghijklmnopqrst";
const TARGET = resend.target.parse({
  apiKey: KEY,
  sender: "Alerts <alerts@acme.com>",
  recipients: "dana@acme.com, Ed <ed@acme.com>",
});
const OPTIONS = {
  deliveryId: "0a6c2f1e-1111-4111-8111-000000000001",
  apiUrl: "https://api.resend.com/",
  now: NOW,
};
const RENDERED = resend.render(message());

function response(status: number, json: unknown, over: Partial<VendorAnswer> = {}): VendorAnswer {
  return { kind: "response", status, json, excerpt: "", retryAfterMs: null, ...over } as VendorAnswer;
}

function refusal(status: number, name: string): VendorAnswer {
  return response(status, { statusCode: status, name, message: "why" });
}

Deno.test("a mail has the verdict as subject, and the same in HTML and in plain text", () => {
  const mail = renderMail(composeMessage({ event: "opened", incidents: [incident()], now: NOW }));
  assert.equal(mail.subject, "🔴 FAILED: sync_leads in smoothed · critical");
  for (const text of [readMailHtml(mail.html), mail.text]) {
    for (
      const part of [
        "FAILED: sync_leads in smoothed · critical",
        "The last run failed: ERROR: division by zero.",
        "2026-11-21 12:45 UTC",
        "dana@acme.com",
        "🟩🟩🟩🟩🟩🟩🟩🟩🟩🟥",
        "CONTEXT:  PL/pgSQL function sync_leads() line 3",
        "https://wiki.acme.com/sync",
        "6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11",
      ]
    ) assert.ok(text.includes(part), `${part} is missing in:\n${text}`);
  }
});

Deno.test("a mail's HTML is tables and inline styles, with a colour by severity", () => {
  const { html } = renderMail(message({ severity: "critical" }));
  assert.ok(html.includes("border-top:4px solid #d92d20"));
  assert.doesNotMatch(html, /<(style|script|link|img|svg|form|input|pre|p|ul|h\d)\b| class=| on\w+=/);
});

Deno.test("a mail's subject has no line break, NUL or header of others", () => {
  const { subject } = renderMail(message({ title: "a\r\nBcc: evil@example.com\u0000\nb\u2028c" }));
  assert.equal(subject, "🟠 a Bcc: evil@example.com b c");
});

Deno.test("a mail links to https only", () => {
  const urls = [
    "https://a.co/?b=1&c=\"<x>'",
    "http://a.co",
    "javascript:alert(1)",
    "data:text/html,x",
    "nonsense",
  ];
  const { html } = renderMail(message({ links: urls.map((url) => ({ label: "x", url })) }));
  assert.deepEqual([...html.matchAll(/href="([^"]*)"/g)].map(([, href]) => href), [
    "https://a.co/?b=1&amp;c=%22%3Cx%3E%27",
  ]);
});

for (const [what, text] of Object.entries(HOSTILE)) {
  Deno.test(`a mail keeps all limits with ${what} in every place`, () => {
    const fields = Array.from({ length: 40 }, () => ({ label: text, value: text, at: NOW }));
    const links = Array.from({ length: 12 }, () => ({ label: text, url: "https://wiki.acme.com/a" }));
    const mail = renderMail(
      message({ title: text, cause: text, fields, excerpt: text, strip: "🟩", links, footer: text }),
    );
    readMailHtml(mail.html);
    const bytes = (text: string) => new TextEncoder().encode(text).length;
    assert.ok(bytes(mail.html) < 102_000, `${bytes(mail.html)} bytes`);
    assert.ok(bytes(mail.text) <= 60_000 && mail.text !== "");
    assert.ok(mail.subject.length <= 200);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(mail.subject, /[\u0000-\u001f]/);
    assert.ok(Object.values(mail).every((part) => part.isWellFormed()));
  });
}

Deno.test("a mail says how much it left out", () => {
  const fields = Array.from(
    { length: 90 },
    (_, index) => ({ label: `fact ${index}`, value: "x".repeat(900) }),
  );
  const text = readMailHtml(renderMail(message({ fields, excerpt: "e".repeat(20_000) })).html);
  const shown = text.match(/^fact \d+$/gm)?.length ?? 0;
  assert.ok(shown > 20 && text.includes(`${90 - shown} more facts`), `${shown} facts`);
  assert.match(text, /e… 8,\d{3} more characters/);
});

Deno.test("addresses are read as people write them, and written as headers take them", () => {
  const read: readonly [string, string][] = [
    ["alerts@acme.com", "alerts@acme.com"],
    [" Alerts  <alerts@acme.com> ", "Alerts <alerts@acme.com>"],
    ["Acme, Inc. <alerts@acme.com>", '"Acme, Inc." <alerts@acme.com>'],
    ['"Acme, Inc." <alerts@acme.com>', '"Acme, Inc." <alerts@acme.com>'],
    ["Al\r\nBcc: x\u0000 <alerts@acme.com>", '"Al Bcc: x" <alerts@acme.com>'],
    ['He said "hi" <a@b.co>', '"He said \\"hi\\"" <a@b.co>'],
  ];
  for (const [written, header] of read) assert.equal(mailbox.parse(written), header);
  for (
    const wrong of ["", "alerts", "a@b@c", "<a@b.co", "a b@c.co", "x <a@b.co> <c@d.co>", "a@b.co\nc@d.co"]
  ) {
    assert.ok(!mailbox.safeParse(wrong).success, wrong);
  }
  assert.deepEqual(mailboxes.parse('a@b.co; "Doe, Jane" <j@d.co>,\n Ed <ed@f.co>,'), [
    "a@b.co",
    '"Doe, Jane" <j@d.co>',
    "Ed <ed@f.co>",
  ]);
  const many = Array.from({ length: 51 }, (_, index) => `a${index}@b.co`).join(",");
  for (const wrong of ["", " , ", "a@b.co, nobody", many]) {
    assert.ok(!mailboxes.safeParse(wrong).success, wrong);
  }
});

Deno.test("a Resend request holds the addresses, the mail, the key as bearer and an idempotency key", async () => {
  const request = await resend.request(RENDERED, TARGET, OPTIONS);
  assert.equal(request.url, "https://api.resend.com/emails");
  assert.equal(request.headers.authorization, `Bearer ${KEY}`);
  assert.deepEqual(JSON.parse(request.body), {
    from: "Alerts <alerts@acme.com>",
    to: ["dana@acme.com", "Ed <ed@acme.com>"],
    ...RENDERED.body,
  });
  assert.ok(!JSON.stringify(RENDERED).includes(KEY));
});

Deno.test("the idempotency key is stable over retries, and another one once the addresses are corrected", async () => {
  const keyFor = async (target: typeof TARGET, deliveryId = OPTIONS.deliveryId) =>
    (await resend.request(RENDERED, target, { ...OPTIONS, deliveryId, now: new Date() }))
      .headers["idempotency-key"] ??
      "";
  const key = await keyFor(TARGET);
  assert.ok(key.startsWith(OPTIONS.deliveryId) && key.length <= 256);
  assert.equal(await keyFor(TARGET), key);
  assert.notEqual(await keyFor({ ...TARGET, recipients: ["eve@acme.com"] }), key);
  assert.notEqual(await keyFor(TARGET, "another"), key);
});

Deno.test("a mail that Resend takes is sent, and its id kept", () => {
  assert.deepEqual(resend.outcome(response(200, { id: "e1" }), RENDERED), { kind: "sent", providerId: "e1" });
  assert.equal(resend.outcome(response(200, null), RENDERED).kind, "retry");
});

Deno.test("a mail that Resend refuses is permanent, with Resend's reason", () => {
  for (
    const [status, name] of [
      [400, "validation_error"],
      [401, "missing_api_key"],
      [403, "invalid_api_key"],
      [422, "missing_required_field"],
      [409, "invalid_idempotent_request"],
    ] as const
  ) {
    assert.deepEqual(resend.outcome(refusal(status, name), RENDERED), {
      kind: "permanent",
      about: [401, 403].includes(status) ? "target" : "message",
      error: `Resend answered ${status}: why (${name})`,
    });
  }
});

Deno.test("a Resend that throttles, is down or still at work on the first attempt is tried again", () => {
  const limited = response(429, { name: "rate_limit_exceeded", message: "slow" }, { retryAfterMs: 1_000 });
  assert.deepEqual(resend.outcome(limited, RENDERED), {
    kind: "retry",
    error: "Resend answered 429: slow (rate_limit_exceeded)",
    retryAfterMs: 1_000,
    throttled: true,
  });
  const busy = resend.outcome(refusal(409, "concurrent_idempotent_requests"), RENDERED);
  assert.ok(busy.kind === "retry" && !busy.throttled);
  for (const answer of [response(500, null), { kind: "network" }, { kind: "timeout" }] as const) {
    assert.equal(resend.outcome(answer, RENDERED).kind, "retry");
  }
});
