/** PagerDuty's events, requests and outcomes. */
import assert from "node:assert/strict";
import type { VendorAnswer } from "../../supabase/functions/_shared/channels/channel.ts";
import { pagerduty } from "../../supabase/functions/_shared/channels/pagerduty.ts";
import type { Message } from "../../supabase/functions/_shared/domain/delivery.ts";
import { composeMessage } from "../../supabase/functions/_shared/rules/message.ts";
import { HOSTILE, incident, message, NOW } from "../support/alerts.ts";

const KEY = "R0ABCDEFGHIJKLMNOPQRSTUVWXYZ0123";
const TARGET = { apiKey: KEY };
const OPTIONS = { deliveryId: "1", apiUrl: "https://events.pagerduty.com", now: NOW };
const OPENED = composeMessage({ event: "opened", incidents: [incident()], now: NOW });

interface Event {
  event_action: string;
  payload: Record<string, unknown> & { custom_details: Record<string, string> };
  links: { href: string; text: string }[];
  client: string;
  client_url?: string;
}

function eventOf(message: Message): Event {
  return pagerduty.render(message).body.event as Event;
}

function keysOf(over: Partial<Message>): string[] {
  return pagerduty.parts?.(pagerduty.render(message(over)), TARGET).map(({ id }) => id) ?? [];
}

function response(status: number, json: unknown): VendorAnswer {
  return { kind: "response", status, json, excerpt: "", retryAfterMs: null };
}

Deno.test("a PagerDuty alert is triggered with summary, source, severity, facts and links", () => {
  const { event_action: action, payload, links, client, client_url: clientUrl } = eventOf(OPENED);
  const { custom_details: details, ...others } = payload;
  assert.equal(action, "trigger");
  assert.deepEqual(others, {
    summary: "FAILED: sync_leads in smoothed · critical. The last run failed: ERROR: division by zero.",
    source: "smoothed",
    severity: "critical",
    timestamp: "2026-11-21T12:47:12.000Z",
    component: "sync_leads",
    group: "smoothed",
    class: "failed",
  });
  assert.equal(details.Cause, "The last run failed: ERROR: division by zero.");
  assert.equal(details.Owner, "dana@acme.com");
  assert.equal(details["Last 10 runs"], "🟩🟩🟩🟩🟩🟩🟩🟩🟩🟥");
  assert.match(details["Last error"] ?? "", /^ERROR: {2}division by zero\nCONTEXT/);
  assert.match(details.Origin ?? "", /incident 6f1d9c1e/);
  assert.deepEqual(links[0], { href: "https://wiki.acme.com/sync", text: "Runbook" });
  assert.deepEqual([client, clientUrl], [
    "Supabase Job Monitor",
    "https://supabase.com/dashboard/project/abcdefghijklmnopqrst/integrations/cron/jobs",
  ]);
});

Deno.test("severities are PagerDuty's own, and a test is info", () => {
  const severities = (["critical", "important", "low"] as const).map((severity) =>
    eventOf(message({ severity })).payload.severity
  );
  assert.deepEqual(severities, ["critical", "error", "warning"]);
  assert.equal(eventOf(message({ event: "test", severity: "critical" })).payload.severity, "info");
});

Deno.test("an alert and its recovery have one key, made of the incident", () => {
  const id = incident().id;
  const opened = keysOf({ event: "opened", incidentIds: [id] });
  assert.deepEqual(opened, [`supabase-job-monitor/${id}`]);
  assert.deepEqual(keysOf({ event: "resolved", incidentIds: [id] }), opened);
  assert.deepEqual(keysOf({ event: "reminder", incidentIds: [id] }), opened);
});

Deno.test("a recovery resolves the alerts of which all is over, whatever they told of together", () => {
  const threads = [{ providerId: "group", over: true }, { providerId: "single", over: true }];
  assert.deepEqual(keysOf({ event: "resolved", incidentIds: ["b"], threads }), ["group", "single"]);
});

Deno.test("an acknowledgement goes to the alerts of which all that still holds is taken on, and opens none", () => {
  const threads = [
    { providerId: "group", over: false, acknowledged: false },
    { providerId: "taken on", over: false, acknowledged: true },
    { providerId: "over", over: true, acknowledged: true },
  ];
  const event = "acknowledged";
  assert.deepEqual(keysOf({ event, incidentIds: ["b"], threads }), ["taken on"]);
  assert.deepEqual(keysOf({ event, incidentIds: ["b"], threads: [] }), []);
  assert.deepEqual(keysOf({ event, incidentIds: ["b"] }), []);
  assert.deepEqual(eventOf(message({ event })), { event_action: "acknowledge" });
});

Deno.test("an alert that tells of others stays open until all of them are over", () => {
  const threads = [{ providerId: "group", over: false }];
  assert.deepEqual(keysOf({ event: "resolved", incidentIds: ["b"], threads }), []);
  assert.deepEqual(keysOf({ event: "reminder", incidentIds: ["b"], threads }), ["group"]);
});

Deno.test("a recovery, and an acknowledgement, say no more than PagerDuty needs", () => {
  assert.deepEqual(eventOf(message({ event: "resolved" })), { event_action: "resolve" });
  const acknowledged = { ...message(), event: "acknowledged" } as unknown as Message;
  assert.deepEqual(eventOf(acknowledged), { event_action: "acknowledge" });
});

for (const [what, text] of Object.entries(HOSTILE)) {
  Deno.test(`a PagerDuty alert keeps all limits with ${what} in every place`, () => {
    const fields = Array.from({ length: 90 }, () => ({ label: text, value: text, at: NOW }));
    const about = { project: text, subject: text, code: text };
    const links = [{ label: text, url: "https://wiki.acme.com" }, { label: text, url: "javascript:x" }];
    const rendered = pagerduty.render(
      message({
        title: text,
        cause: text,
        fields,
        about,
        excerpt: text,
        links,
        footer: text,
        incidentIds: [text],
      }),
    );
    const { payload, links: shown } = rendered.body.event as Event;
    const bytes = (text: unknown) => new TextEncoder().encode(String(text)).length;
    assert.ok(String(payload.summary).trim() !== "" && bytes(payload.summary) <= 1_024);
    assert.ok(String(payload.source).trim() !== "");
    assert.equal(shown.length, 1);
    for (const { id } of pagerduty.parts?.(rendered, TARGET) ?? []) assert.ok(id.length <= 255);
    const json = JSON.stringify(rendered.body);
    assert.ok(bytes(json) <= 512 * 1024 && json.isWellFormed(), `${bytes(json)} bytes`);
  });
}

Deno.test("facts of one label all stay", () => {
  const fields = ["1", "2", "3"].map((value) => ({ label: "job", value }));
  const { job, ["job (2)"]: second, ["job (3)"]: third } =
    eventOf(message({ fields })).payload.custom_details;
  assert.deepEqual([job, second, third], ["1", "2", "3"]);
});

Deno.test("the routing key is in the request's body, and in nothing that is stored", async () => {
  const rendered = pagerduty.render(OPENED);
  const request = await pagerduty.request(rendered, TARGET, { ...OPTIONS, part: "k1" });
  assert.equal(request.url, "https://events.pagerduty.com/v2/enqueue");
  const { routing_key: key, dedup_key: dedup, ...event } = JSON.parse(request.body);
  assert.deepEqual([key, dedup], [KEY, "k1"]);
  assert.deepEqual(event, rendered.body.event);
  assert.ok(!JSON.stringify(rendered).includes(KEY));
  assert.ok(!request.url.includes(KEY) && !JSON.stringify(request.headers).includes(KEY));
});

Deno.test("a PagerDuty target is the key of an integration", () => {
  assert.ok(pagerduty.target.safeParse(TARGET).success);
  for (const apiKey of ["", "short", `${KEY}!`, undefined]) {
    assert.ok(!pagerduty.target.safeParse({ apiKey }).success);
  }
});

Deno.test("an event that PagerDuty has taken is sent, and its key kept", () => {
  const rendered = pagerduty.render(OPENED);
  assert.deepEqual(pagerduty.outcome(response(202, { status: "success", dedup_key: "k1" }), rendered), {
    kind: "sent",
    providerId: "k1",
  });
  assert.equal(pagerduty.outcome(response(202, null), rendered).kind, "retry");
});

Deno.test("an event that PagerDuty calls invalid is permanent, with its reasons", () => {
  const said = { status: "invalid event", message: "Event object is invalid", errors: ["a", "b"] };
  assert.deepEqual(pagerduty.outcome(response(400, said), pagerduty.render(OPENED)), {
    kind: "permanent",
    about: "message",
    error: "PagerDuty answered 400: Event object is invalid: a; b",
  });
});

Deno.test("a PagerDuty that throttles, is down or out of reach is tried again", () => {
  const rendered = pagerduty.render(OPENED);
  const throttled = pagerduty.outcome(
    response(429, { status: "throttle exceeded", message: "slow" }),
    rendered,
  );
  assert.ok(throttled.kind === "retry" && throttled.throttled);
  for (const answer of [response(500, null), { kind: "network" }, { kind: "timeout" }] as const) {
    assert.equal(pagerduty.outcome(answer, rendered).kind, "retry");
  }
});
