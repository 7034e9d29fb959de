/** A webhook of anybody's own, signed as Standard Webhooks says: https://github.com/standard-webhooks/standard-webhooks. */
import { z } from "zod";
import type { Message, MessageField } from "../domain/delivery.ts";
import { httpsUrl } from "../rules/links.ts";
import { renderPlain } from "../rules/message.ts";
import { clean, cut, oneLine } from "../rules/text.ts";
import { type Channel, plainOutcome } from "./channel.ts";

/** UTF-8 bytes as they stand in JSON. */
const LIMITS = {
  title: 600,
  cause: 2_000,
  label: 300,
  value: 800,
  excerpt: 3_000,
  footer: 400,
  word: 300,
  link: 1_000,
};
/** Bytes of a payload: what Standard Webhooks advises. */
const TOTAL_LIMIT = 20_000;
/** Ids of incidents that are listed; their number is told in full. */
const ID_LIMIT = 100;
const LINKS = 5;
const SECRET_PREFIX = "whsec_";

const target = z.object({
  webhookUrl: z.string({ error: "webhook_url is empty" }).regex(
    /^https?:\/\/\S+$/,
    "webhook_url must be a URL",
  ),
  /** Several while one replaces another: each signs. */
  apiKey: z.string({ error: "api_key is empty" })
    .transform((text) => text.split(/[\s,]+/).filter((one) => one !== ""))
    .refine(
      (secrets) => secrets.length > 0 && secrets.length <= 5 && secrets.every(isSecret),
      "api_key must be whsec_ and 24 to 64 bytes in Base64",
    ),
});

export const webhook: Channel<z.infer<typeof target>> = {
  name: "webhook",
  api: null,
  paceMs: 100,
  target,
  render: (message) => ({ body: payloadOf(message), plain: cut(renderPlain(message), 60_000) }),
  async request(rendered, { webhookUrl, apiKey }, { deliveryId, now }) {
    const body = JSON.stringify(rendered.body);
    const id = `msg_${deliveryId}`;
    const timestamp = String(Math.floor(now.getTime() / 1000));
    const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
    const signatures = await Promise.all(apiKey.map((secret) => sign(secret, signed)));
    return {
      url: webhookUrl,
      method: "POST",
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signatures.join(" "),
      },
      body,
    };
  },
  outcome(answer) {
    if (answer.kind !== "response") return plainOutcome("The webhook", answer);
    if (answer.status >= 200 && answer.status < 300) return { kind: "sent", providerId: null };
    if (answer.status === 410) {
      return {
        kind: "permanent",
        about: "target",
        error: "The webhook answered 410: the endpoint is gone for good; disable its row of alert_config",
      };
    }
    return plainOutcome("The webhook", answer);
  },
};

function payloadOf(message: Message): Record<string, unknown> {
  const { project = null, subject = null, code = null } = message.about ?? {};
  const data = {
    event: message.event,
    severity: message.severity,
    title: fit(oneLine(message.title), LIMITS.title),
    cause: fit(clean(message.cause).trim(), LIMITS.cause),
    project: word(project),
    subject: word(subject),
    code: word(code),
    incidents: message.incidentIds.length,
    incident_ids: message.incidentIds.slice(0, ID_LIMIT).map((id) => fit(oneLine(id), 64)),
    strip: message.strip === null ? null : oneLine(message.strip).slice(0, 100),
    excerpt: message.excerpt === null ? null : fit(clean(message.excerpt).trim(), LIMITS.excerpt),
    links: linksOf(message),
    footer: fit(oneLine(message.footer), LIMITS.footer),
  };
  const payload = { type: `alert.${message.event}`, timestamp: message.at.toISOString(), data };
  const { fields, left_out } = factsOf(message.fields, TOTAL_LIMIT - size(payload) - 60);
  return { ...payload, data: { ...data, fields, fields_left_out: left_out } };
}

/** As many facts as the room allows; what is left out is counted. */
function factsOf(facts: readonly MessageField[], room: number) {
  let left = room;
  const fields: Record<string, unknown>[] = [];
  for (const { label, value, at } of facts) {
    const field = {
      label: fit(oneLine(label), LIMITS.label),
      value: fit(clean(value).trim(), LIMITS.value),
      ...(at === undefined ? {} : { at: at.toISOString() }),
    };
    left -= size(field) + 1;
    if (left < 0) break;
    fields.push(field);
  }
  return { fields, left_out: facts.length - fields.length };
}

function linksOf({ links }: Message): { label: string; url: string }[] {
  return links.slice(0, LINKS).flatMap(({ label, url }) => {
    const href = httpsUrl(url, LIMITS.link);
    return href === null ? [] : [{ label: fit(oneLine(label), LIMITS.label), url: href }];
  });
}

function word(value: string | null): string | null {
  return value === null ? null : fit(oneLine(value), LIMITS.word);
}

function fit(text: string, limit: number): string {
  return cut(text, limit, (text) => size(text) - 2);
}

/** Bytes of a value as JSON. */
function size(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}

function isSecret(text: string): boolean {
  if (!/^whsec_[A-Za-z0-9+/]+={0,2}$/.test(text)) return false;
  try {
    const { length } = decodeSecret(text);
    return length >= 24 && length <= 64;
  } catch {
    return false;
  }
}

function decodeSecret(secret: string): Uint8Array {
  return Uint8Array.from(atob(secret.slice(SECRET_PREFIX.length)), (sign) => sign.charCodeAt(0));
}

async function sign(secret: string, content: Uint8Array): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", decodeSecret(secret) as BufferSource, algorithm, false, [
    "sign",
  ]);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, content as BufferSource));
  return `v1,${btoa(String.fromCharCode(...signature))}`;
}
