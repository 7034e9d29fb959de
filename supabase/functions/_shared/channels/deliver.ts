/** The only place that sends anything to a vendor. */
import { redact } from "../rules/redact.ts";
import { clean } from "../rules/text.ts";
import type { OutgoingRequest, VendorAnswer } from "./channel.ts";
import { guardUrl } from "./url_guard.ts";

/** Bytes of an answer that are read at most; the rest is thrown away. */
const ANSWER_LIMIT = 65_536;
/** Characters of an answer that are kept for an error message. */
const EXCERPT_LIMIT = 500;

/** Milliseconds that a request may take unless said otherwise. */
export const SENDING_TIMEOUT_MS = 10_000;

/** How {@link deliver} sends. */
export interface DeliverOptions {
  /** For connecting, sending and reading together. Default: {@link SENDING_TIMEOUT_MS}. */
  timeoutMs?: number;
  /** `host:port` of private hosts that may be sent to. */
  allowedHosts?: readonly string[];
  /** What must not be in the answer's excerpt: the target's secrets. */
  secrets?: readonly string[];
  fetch?: typeof fetch;
}

/**
 * Sends one request. A network's failure is an answer too; its error is dropped, because it holds the URL, and so the
 * secret.
 *
 * @throws {AppError} `url_refused` where the URL is not one that alerts may go to.
 */
export async function deliver(request: OutgoingRequest, options: DeliverOptions = {}): Promise<VendorAnswer> {
  const { timeoutMs = SENDING_TIMEOUT_MS, allowedHosts = [], secrets = [], fetch = globalThis.fetch } =
    options;
  const url = guardUrl(request.url, allowedHosts);
  try {
    const response = await fetch(url, {
      method: request.method,
      headers: request.headers,
      body: request.body,
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await readCapped(response);
    return {
      kind: "response",
      status: response.status,
      json: parseJson(text),
      excerpt: scrub(text, [...secrets, ...credentialsOf(request.headers)]),
      retryAfterMs: readRetryAfter(response.headers),
    };
  } catch (error) {
    if (error instanceof DOMException && error.name === "TimeoutError") return { kind: "timeout" };
    return isUnsent(error) ? { kind: "network", unsent: true } : { kind: "network" };
  }
}

/**
 * Whether a failed `fetch` certainly sent nothing. Deno says so when it never had a connection, 2.1 in the message, 2.9
 * in its cause. What breaks later may have arrived.
 */
export function isUnsent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const cause = error.cause instanceof Error ? error.cause.message : "";
  return `${error.message} ${cause}`.includes("client error (Connect)");
}

/** A vendor may quote the credentials of a header as they were sent. */
function credentialsOf(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    /authorization|token|signature/i.test(name) ? value.split(/[ ,]/).filter((part) => part.length >= 16) : []
  );
}

async function readCapped(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    text += decoder.decode(chunk, { stream: true });
    if (bytes >= ANSWER_LIMIT) break;
  }
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function scrub(text: string, secrets: readonly string[]): string {
  return clean(redact(text, secrets)).replace(/\s+/g, " ").trim().slice(0, EXCERPT_LIMIT).toWellFormed();
}

/** `Retry-After` is a number of seconds or a date; a date counts from the vendor's own clock where it tells it. */
function readRetryAfter(headers: Headers): number | null {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(value)) return Math.ceil(Number(value) * 1000);
  const until = Date.parse(value);
  if (Number.isNaN(until)) return null;
  const vendorNow = Date.parse(headers.get("date") ?? "");
  return Math.max(0, until - (Number.isNaN(vendorNow) ? Date.now() : vendorNow));
}
