/** A strict receiver of signed webhooks: checks signature, age and size, and acts on each message id once. */
import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Verdict } from "./verdict.ts";

/** The one endpoint that exists. */
export interface WebhookEndpoint {
  path: string;
  /** `whsec_…` */
  secret: string;
}

const SIZE_LIMIT = 20_000;
/** As the receivers' libraries have it. */
const TOLERANCE_SECONDS = 300;

/** An endpoint's own memory of the messages that it has acted on. Their age is told by the machine's clock. */
export function createWebhook(endpoint: WebhookEndpoint) {
  const seen = new Set<string>();
  return function receive(url: URL, raw: string, headers: Headers): Verdict {
    if (url.pathname !== endpoint.path) return refusal(404, "no such endpoint");
    const id = headers.get("webhook-id") ?? "";
    const timestamp = headers.get("webhook-timestamp") ?? "";
    if (!/^[\x21-\x2d\x2f-\x7e]{1,128}$/.test(id)) {
      return refusal(400, "webhook-id is missing or holds a dot");
    }
    const age = Math.abs(Date.now() / 1000 - Number(timestamp));
    if (!/^\d+$/.test(timestamp) || age > TOLERANCE_SECONDS) {
      return refusal(400, "webhook-timestamp is too old");
    }
    const signed = `${id}.${timestamp}.${raw}`;
    if (!isSigned(signed, endpoint.secret, headers.get("webhook-signature") ?? "")) {
      return refusal(401, "no signature fits");
    }
    if (new TextEncoder().encode(raw).length > SIZE_LIMIT) return refusal(413, "more than 20 kB");
    const text = textOf(raw);
    if (text === null) return refusal(400, "not an alert");
    if (seen.has(id)) return { accepted: false, text: null, status: 204, body: null };
    seen.add(id);
    return { accepted: true, text, status: 204, body: null };
  };
}

function refusal(status: number, error: string): Verdict {
  return { accepted: false, text: null, status, body: { error } };
}

function isSigned(content: string, secret: string, signatures: string): boolean {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const expected = createHmac("sha256", key).update(content).digest();
  return signatures.split(" ").some((signature) => {
    const [version, base64 = ""] = signature.split(",");
    const given = Buffer.from(base64, "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

/** Every value of the payload, one a line. */
function textOf(raw: string): string | null {
  try {
    const payload = JSON.parse(raw);
    if (typeof payload.type !== "string" || Number.isNaN(Date.parse(payload.timestamp))) return null;
    return valuesOf(payload.data).join("\n");
  } catch {
    return null;
  }
}

function valuesOf(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  return typeof value === "object" ? Object.values(value).flatMap(valuesOf) : [String(value)];
}
