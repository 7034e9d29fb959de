/** PagerDuty, by Events API v2: an alert opens, repeats and resolves under one key. Limits: PagerDuty's API reference. */
import { z } from "zod";
import type { Message, MessageField } from "../domain/delivery.ts";
import { httpsUrl } from "../rules/links.ts";
import { describeRest, renderPlain, stripLabel } from "../rules/message.ts";
import { clean, cut, oneLine } from "../rules/text.ts";
import { appearanceOf } from "./appearance.ts";
import { type Channel, plainOutcome } from "./channel.ts";

const LIMITS = {
  summary: 1_024,
  label: 200,
  value: 2_000,
  excerpt: 20_000,
  cause: 4_000,
  word: 255,
  link: 2_000,
};
/** UTF-8 bytes of all facts; PagerDuty takes 512 KB in all. */
const FACTS_LIMIT = 100_000;
const LINKS = 10;
/** Alerts that one recovery resolves. */
const KEYS = 50;
const CLIENT = "Supabase Job Monitor";

const SEVERITIES = { critical: "critical", important: "error", low: "warning", info: "info" } as const;

/** What an event is to PagerDuty; every other one triggers. */
const ACTIONS: Readonly<Record<string, "resolve" | "acknowledge">> = {
  resolved: "resolve",
  acknowledged: "acknowledge",
};

const target = z.object({
  apiKey: z.string({ error: "api_key is empty" }).regex(
    /^[A-Za-z0-9]{32}$/,
    "api_key must be the integration key of a service, 32 letters and digits",
  ),
});

/** What is stored: one event, and the keys that it goes to. */
const storedBody = z.object({
  dedup_keys: z.array(z.string()),
  event: z.record(z.string(), z.unknown()),
});

export const pagerduty: Channel<z.infer<typeof target>> = {
  name: "pagerduty",
  api: { url: "https://events.pagerduty.com", variable: "PAGERDUTY_API_URL" },
  // about 120 events a minute
  paceMs: 550,
  target,
  render: (message) => ({
    body: { dedup_keys: keysOf(message), event: eventOf(message) },
    plain: `${appearanceOf(message).sign} ${renderPlain(message)}`,
  }),
  parts: (rendered) => storedBody.parse(rendered.body).dedup_keys.map((key) => ({ id: key, label: key })),
  request(rendered, { apiKey }, { apiUrl, part }) {
    const { dedup_keys: [first], event } = storedBody.parse(rendered.body);
    return {
      url: `${apiUrl.replace(/\/+$/, "")}/v2/enqueue`,
      method: "POST",
      headers: { "content-type": "application/json" },
      // the key that opens the service is put in here, and nowhere kept
      body: JSON.stringify({ routing_key: apiKey, dedup_key: part ?? first, ...event }),
    };
  },
  outcome(answer) {
    if (answer.kind !== "response") return plainOutcome("PagerDuty", answer);
    const said = answerBody.safeParse(answer.json).data;
    if (answer.status === 202 && said?.status === "success") {
      return { kind: "sent", providerId: said.dedup_key ?? null };
    }
    const faults = said?.errors?.length ? `: ${said.errors.join("; ")}` : "";
    const error = said?.message === undefined ? undefined : `${said.message}${faults}`;
    const about = /routing_key/.test(faults) ? "target" : undefined;
    return plainOutcome("PagerDuty", answer, { error, about });
  },
};

const answerBody = z.object({
  status: z.string().optional(),
  message: z.string().optional(),
  dedup_key: z.string().optional(),
  errors: z.array(z.string()).optional(),
});

/**
 * The keys of the alerts that PagerDuty has of these incidents: those that are wholly over when it is a recovery, those
 * of which all that holds is taken on when it is an acknowledgement, those that are not over when it is anything else.
 * Where it has none, the key is made of the first incident; but nothing is acknowledged that was never opened.
 */
function keysOf(message: Message): string[] {
  const action = actionOf(message);
  const resolves = action === "resolve";
  const threads = message.threads ?? [];
  const keys = threads
    .filter(({ over, acknowledged }) =>
      over === resolves && (action !== "acknowledge" || acknowledged === true)
    )
    .map((thread) => thread.providerId);
  // an alert that tells of others, which still hold, stays open
  if (keys.length > 0 || action === "acknowledge" || (resolves && threads.length > 0)) {
    return keys.slice(0, KEYS);
  }
  const [first] = message.incidentIds;
  return [cut(oneLine(`supabase-job-monitor/${first ?? message.event}`), LIMITS.word)];
}

function actionOf({ event }: Message): "trigger" | "acknowledge" | "resolve" {
  return ACTIONS[event] ?? "trigger";
}

function eventOf(message: Message): Record<string, unknown> {
  const action = actionOf(message);
  if (action !== "trigger") return { event_action: action };
  const { project = null, subject = null, code = null } = message.about ?? {};
  const links = linksOf(message);
  const dashboard = links.find((link) => link.text === "Dashboard")?.href;
  return {
    event_action: action,
    payload: {
      // what a phone shows, or a voice reads out
      summary: fit([message.title, message.cause].map(oneLine).filter(Boolean).join(". "), LIMITS.summary) ||
        "Alert",
      source: word(project) ?? CLIENT,
      severity: message.event === "test" || message.event === "report"
        ? "info"
        : SEVERITIES[message.severity],
      timestamp: message.at.toISOString(),
      ...named("component", subject),
      ...named("group", project),
      ...named("class", code),
      custom_details: detailsOf(message),
    },
    links,
    client: CLIENT,
    ...(dashboard === undefined ? {} : { client_url: dashboard }),
  };
}

function detailsOf(message: Message): Record<string, string> {
  const details: [string, string][] = [["Cause", fit(clean(message.cause).trim(), LIMITS.cause)]];
  let left = FACTS_LIMIT;
  for (const [index, fact] of message.fields.entries()) {
    const detail = detailOf(fact);
    left -= bytes(detail.join(""));
    if (left < 0) {
      details.push(["…", describeRest(message.fields.slice(index))]);
      break;
    }
    details.push(unused(detail, details));
  }
  if (message.strip !== null) details.push([stripLabel(message.strip), fit(oneLine(message.strip), 100)]);
  const excerpt = fit(clean(message.excerpt ?? "").trim(), LIMITS.excerpt);
  if (excerpt !== "") details.push(["Last error", excerpt]);
  const footer = fit(oneLine(message.footer), LIMITS.word);
  if (footer !== "") details.push(["Origin", footer]);
  return Object.fromEntries(details);
}

function detailOf({ label, value }: MessageField): [string, string] {
  return [fit(oneLine(label), LIMITS.label) || "-", fit(clean(value).trim(), LIMITS.value)];
}

/** Two facts may have one label, and an object has each key once. */
function unused([label, value]: [string, string], taken: readonly [string, string][]): [string, string] {
  const uses = taken.filter(([other]) => other === label || other.startsWith(`${label} (`)).length;
  return [uses === 0 ? label : `${label} (${uses + 1})`, value];
}

function linksOf({ links }: Message): { href: string; text: string }[] {
  return links.slice(0, LINKS).flatMap(({ label, url }) => {
    const href = httpsUrl(url, LIMITS.link);
    return href === null ? [] : [{ href, text: fit(oneLine(label), LIMITS.label) || "Link" }];
  });
}

function named(name: string, value: string | null): Record<string, string> {
  const shown = word(value);
  return shown === null ? {} : { [name]: shown };
}

function word(value: string | null): string | null {
  return fit(oneLine(value ?? ""), LIMITS.word) || null;
}

function fit(text: string, limit: number): string {
  return cut(text, limit, bytes);
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
